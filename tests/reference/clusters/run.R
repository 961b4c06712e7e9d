# Cluster-robust inference at the top of several levels by clubSandwich, raw, with 17 significant
# digits: covariances, Satterthwaite's degrees of freedom, and joint tests (Wald_test, HTZ).
#
#   Rscript tests/reference/clusters/run.R
#
# Each output holds the digest of this file and of ../lme4/fit.R, from which the tight optimiser
# and the printing of numbers come. A change of either asks for a new run.

suppressPackageStartupMessages({
  library(lme4)
  library(clubSandwich)
  library(jsonlite)
  library(numDeriv)
})

script <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
home <- dirname(script)
other <- normalizePath(file.path(home, "..", "lme4", "fit.R"))
borrowed <- c("verbatim", "digits17", "vec", "one", "matrix_rows", "words", "newton_step", "polish",
              "criterion")
for (e in parse(other)) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && as.character(e[[2]])[1] %in% borrowed) eval(e)
}

# ---- data ------------------------------------------------------------------------------------
# Classes within schools within 14 districts of unequal size. No row has the district's number in
# its class label, so that `district/school/class` means what it says.

districts <- function() {
  set.seed(97)
  schools <- rep(1:14, c(2, 3, 4, 2, 5, 3, 2, 6, 3, 2, 4, 3, 2, 5))
  school <- rep(seq_along(schools), times = sample(1:3, length(schools), replace = TRUE))
  size <- sample(2:6, length(school), replace = TRUE)
  class <- rep(seq_along(school), size)
  n <- length(class)
  s <- school[class]
  d <- schools[s]
  x <- rnorm(n) + 0.5
  w <- rnorm(length(schools))[s]
  v <- rnorm(14)[d]
  b <- cbind(rnorm(length(schools)), 0.6 * rnorm(length(schools)))
  y <- 10 + 0.5 * x + 0.4 * w - 0.3 * v + 0.8 * rnorm(14)[d] + b[s, 1] + b[s, 2] * x +
    0.7 * rnorm(length(school))[class] + rnorm(n)
  data.frame(y = y, x = x, w = w, v = v, district = sprintf("d%02d", d), school = sprintf("s%02d", s),
             class = sprintf("c%03d", class))
}
write_table <- function(d, name) {
  path <- file.path(home, paste0(name, ".csv"))
  shown <- as.data.frame(lapply(d, function(v) if (is.numeric(v)) digits17(v) else as.character(v)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  read.csv(path)
}
growth <- read.csv(gzfile(file.path(home, "..", "..", "..", "src", "teamlink", "data", "datasets",
                                    "egsingle.csv.gz")))
tables <- list(districts = write_table(districts(), "districts"), egsingle = growth)

# ---- models ------------------------------------------------------------------------------------
# `cluster` is a column that clubSandwich is given; where it is empty it takes its own default, the
# top level. A joint hypothesis says by R's names which coefficients are zero.

models <- list(
  list(key = "four_levels", table = "districts", cluster = "",
       formula = "y ~ x * w + v + (1 | district) + (x | school) + (1 | class)",
       joint = list(c("w", "v"), c("x", "w", "x:w"), c("x", "w", "v", "x:w"), "x:w")),
  list(key = "two_factors", table = "districts", cluster = "",
       formula = "y ~ x + w + (x | district) + (1 | school)", joint = list(c("x", "w"))),
  list(key = "coarser", table = "districts", cluster = "district",
       formula = "y ~ x + w + v + (x | school)", joint = list(c("x", "w"), c("w", "v"))),
  list(key = "growth", table = "egsingle", cluster = "",
       formula = "math ~ year * size + retained + (year | schoolid) + (year | childid)",
       joint = list(c("size", "year:size"), c("retained", "size")))
)

robust <- function(fit, m, d) {
  kinds <- c("CR0", "CR1", "CR1S", "CR2", "CR3")
  sapply(kinds, function(kind) {
    V <- if (nzchar(m$cluster)) vcovCR(fit, cluster = d[[m$cluster]], type = kind) else vcovCR(fit, type = kind)
    test <- coef_test(fit, vcov = V, test = "Satterthwaite")
    joint <- lapply(m$joint, function(zero) {
      at <- match(zero, names(fixef(fit)))
      found <- Wald_test(fit, constraints = constrain_zero(at), vcov = V, test = "HTZ")
      list(zero = as.list(zero), F = one(found$Fstat), delta = one(found$delta), df_num = one(found$df_num),
           df_denom = one(found$df_denom), p = one(found$p_val))
    })
    list(vcov = matrix_rows(as.matrix(V)), se = vec(test$SE), df = vec(test$df_Satt), joint = joint)
  }, simplify = FALSE)
}

fit_one <- function(m) {
  d <- tables[[m$table]]
  fit <- suppressMessages(lmer(as.formula(m$formula), d, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE
  )))
  packages <- c("lme4", "clubSandwich", "numDeriv", "jsonlite")
  out <- list(
    script_md5 = unname(tools::md5sum(script)), lme4_script_md5 = unname(tools::md5sum(other)),
    table = m$table, formula = m$formula, cluster = m$cluster,
    versions = c(list(R = R.version.string),
                 sapply(packages, function(p) as.character(packageVersion(p)), simplify = FALSE),
                 list(platform = R.version$platform, blas = basename(extSoftVersion()[["BLAS"]]))),
    date = format(Sys.Date()), criterion = one(criterion(fit)), names = as.list(words(names(fixef(fit)))),
    fixef = vec(fixef(fit)), robust = robust(fit, m, d)
  )
  text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
  writeLines(text, file.path(home, paste0(m$key, ".json")))
  cat(sprintf("%-12s %s %s\n", m$key, digits17(criterion(fit)), isSingular(fit)))
}

wanted <- commandArgs(TRUE)
for (m in models) if (!length(wanted) || startsWith(m$key, wanted[1])) fit_one(m)
