# Growth curves of egsingle by lme4 and lmerTest, raw, with 17 significant digits.
#
#   Rscript tests/reference/growth/growth.R
#
# The formulas are the texts that growth_curve writes, read by R as they stand. The output holds the
# digest of this file and of ../lme4/fit.R, from which the tight optimiser and the printing of
# numbers come.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(jsonlite)
  library(numDeriv)
})

script <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
home <- dirname(script)
other <- normalizePath(file.path(home, "..", "lme4", "fit.R"))
borrowed <- c("verbatim", "digits17", "vec", "one", "matrix_rows", "words", "column", "table_columns",
              "newton_step", "polish", "criterion")
for (e in parse(other)) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && as.character(e[[2]])[1] %in% borrowed) eval(e)
}

pupils <- with(mlmRev::egsingle, data.frame(
  schoolid = schoolid, childid = childid, year = year, math = math,
  female = factor(as.character(female), levels = c("Female", "Male")),
  retained = as.numeric(as.character(retained)), lowinc = lowinc
))

two_rate <- paste(
  "math ~ I((year - 0.5) * (year <= 0.5) + 0.5) + I((year - 0.5) * (year > 0.5))",
  "+ (I((year - 0.5) * (year <= 0.5) + 0.5) + I((year - 0.5) * (year > 0.5)) | childid)",
  "+ (1 | schoolid)"
)
increment <- paste(
  "math ~ year + I((year - 0.5) * (year > 0.5))",
  "+ (year + I((year - 0.5) * (year > 0.5)) | childid) + (1 | schoolid)"
)
models <- list(
  linear = list(formula = "math ~ year + (year | childid) + (year | schoolid)", reml = TRUE),
  linear_ml = list(formula = "math ~ year + (year | childid) + (year | schoolid)", reml = FALSE),
  predicted = list(formula = paste(
    "math ~ year + female + lowinc + retained + year:female + year:lowinc",
    "+ (year | childid) + (year | schoolid)"
  ), reml = TRUE),
  quadratic = list(
    formula = "math ~ year + I(year ** 2) + (year | childid) + (year | schoolid)", reml = TRUE
  ),
  diagonal = list(formula = paste(
    "math ~ I((year + 2.5) / 2) + I(((year + 2.5) / 2) ** 2)",
    "+ (I((year + 2.5) / 2) || childid) + (1 | schoolid)"
  ), reml = FALSE),
  two_rate = list(formula = two_rate, reml = TRUE),
  increment = list(formula = increment, reml = TRUE),
  orthogonal = list(formula = paste(
    "math ~ I(year - 0.379668)",
    "+ I((year - 0.379668) ** 2 - 0.003035 * (year - 0.379668) - 1.94486)",
    "+ (I(year - 0.379668) | childid)"
  ), reml = TRUE)
)

record <- function(fit) {
  coefs <- summary(fit)$coefficients
  new <- data.frame(year = seq(-2.5, 2.5, by = 0.5), female = factor("Male", levels = levels(pupils$female)),
                    retained = 1, lowinc = 60)
  X <- model.matrix(delete.response(terms(fit, fixed.only = TRUE)), new)
  list(
    criterion = one(criterion(fit)), names = as.list(words(names(fixef(fit)))),
    fixef = vec(fixef(fit)), se = vec(sqrt(diag(as.matrix(vcov(fit))))), df = vec(coefs[, "df"]),
    varcorr = table_columns(as.data.frame(VarCorr(fit))), sigma = one(sigma(fit)),
    years = vec(new$year), mean = vec(X %*% fixef(fit)),
    mean_se = vec(sqrt(diag(X %*% as.matrix(vcov(fit)) %*% t(X)))),
    optimiser = words(fit@optinfo$optimizer)
  )
}

fit_one <- function(m) {
  f <- as.formula(m$formula)
  usual <- suppressMessages(lmerTest::lmer(f, pupils, REML = m$reml))
  tight <- suppressMessages(lmerTest::lmer(f, pupils, REML = m$reml, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE
  )))
  cat(sprintf("%.10f %.10f  %s\n", criterion(usual), criterion(tight), m$formula))
  list(formula = m$formula, method = if (m$reml) "REML" else "ML",
       default = record(usual), tight = record(tight))
}

numeric <- Filter(is.numeric, pupils)
out <- list(
  script = "growth.R", script_md5 = unname(tools::md5sum(script)),
  lme4_script_md5 = unname(tools::md5sum(other)),
  versions = c(
    list(R = R.version.string),
    sapply(c("lme4", "lmerTest", "mlmRev", "numDeriv", "minqa", "nloptr", "jsonlite"),
           function(p) as.character(packageVersion(p)), simplify = FALSE),
    list(platform = R.version$platform)
  ),
  date = format(Sys.Date()),
  data = list(rows = nrow(pupils), sums = lapply(numeric, function(x) one(sum(x))),
              sums_of_squares = lapply(numeric, function(x) one(sum(x^2)))),
  models = lapply(models, fit_one)
)
text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
writeLines(text, file.path(home, "growth.json"))
