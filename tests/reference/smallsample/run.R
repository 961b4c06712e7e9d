# Small-sample inference by pbkrtest, lmerTest and clubSandwich, raw, with 17 significant digits.
#
#   Rscript tests/reference/smallsample/run.R           every model
#   Rscript tests/reference/smallsample/run.R sleep     the models whose key begins with "sleep"
#
# Each output holds the digest of this file and of ../lme4/fit.R, from which the tight optimiser
# and the printing of numbers come. A change of either asks for a new run of every model.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(clubSandwich)
  library(jsonlite)
  library(numDeriv)
})

script <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
home <- dirname(script)
other <- normalizePath(file.path(home, "..", "lme4", "fit.R"))
borrowed <- c("verbatim", "digits17", "vec", "one", "matrix_rows", "words", "newton_step", "polish",
              "criterion", "hsb")
for (e in parse(other)) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && as.character(e[[2]])[1] %in% borrowed) eval(e)
}

# ---- data ------------------------------------------------------------------------------------

unbalanced <- function() {
  set.seed(20)
  size <- c(2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 11, 12)
  g <- rep(seq_along(size), size)
  n <- length(g)
  x <- rnorm(n) + 1
  w <- rnorm(12)[g]
  b <- cbind(rnorm(12), 0.7 * rnorm(12))
  y <- 2 + 0.6 * x + 0.4 * w + b[g, 1] + b[g, 2] * x + rnorm(n)
  d <- data.frame(y = y, x = x, w = w, g = factor(sprintf("g%02d", g)))
  path <- file.path(home, "data", "unbalanced.csv")
  shown <- as.data.frame(lapply(d, function(v) if (is.numeric(v)) digits17(v) else as.character(v)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  transform(read.csv(path), g = factor(g))
}
from_lme4 <- function(name) {
  d <- read.csv(file.path(home, "..", "lme4", "data", paste0(name, ".csv")))
  for (v in names(d)) if (is.character(d[[v]])) d[[v]] <- factor(d[[v]])
  d
}
tables <- list(hsb82 = hsb, unbalanced = unbalanced(), sleepstudy = from_lme4("sleepstudy"),
               dyestuff = from_lme4("dyestuff"), dyestuff2 = from_lme4("dyestuff2"))

# ---- models and joint hypotheses ---------------------------------------------------------------
# A hypothesis is a text in our spelling, its rows by R's names of coefficients, its right sides.

says <- function(text, rows, rhs = rep(0, length(rows))) list(text = text, rows = rows, rhs = rhs)
catholic <- "sector[T.Catholic]"
models <- list(
  list(key = "hsb_null", table = "hsb82", formula = "mathach ~ 1 + (1 | school)", joint = list(
    says("Intercept = 12.5", list(c(`(Intercept)` = 1)), 12.5))),
  list(key = "hsb_meanses", table = "hsb82", formula = "mathach ~ meanses + (1 | school)", joint = list(
    says("Intercept = 12.5, meanses = 6", list(c(`(Intercept)` = 1), c(meanses = 1)), c(12.5, 6)))),
  list(key = "hsb_cses", table = "hsb82", formula = "mathach ~ cses + (cses | school)", joint = list(
    says("Intercept = 12.5, cses = 2", list(c(`(Intercept)` = 1), c(cses = 1)), c(12.5, 2)))),
  list(key = "hsb_rb", table = "hsb82", joint = list(
    says(paste0("meanses = 5, ", catholic, " = 1"),
         list(c(meanses = 1), c(sectorCatholic = 1)), c(5, 1)),
    says(paste0("meanses:cses = 0, cses:", catholic, " = 0"),
         list(c(`meanses:cses` = 1), c(`cses:sectorCatholic` = 1))),
    says(paste0("meanses - 2*cses = 0, ", catholic, " = 1, cses:", catholic, " + cses = 1"),
         list(c(meanses = 1, cses = -2), c(sectorCatholic = 1), c(`cses:sectorCatholic` = 1, cses = 1)),
         c(0, 1, 1))), formula = "mathach ~ meanses * cses + sector * cses + (cses | school)"),
  list(key = "sleep_slope", table = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", joint = list(
    says("Intercept = 250, Days = 8", list(c(`(Intercept)` = 1), c(Days = 1)), c(250, 8)))),
  list(key = "sleep_diagonal", table = "sleepstudy", formula = "Reaction ~ Days + (Days || Subject)", joint = list(
    says("Intercept = 250, Days = 8", list(c(`(Intercept)` = 1), c(Days = 1)), c(250, 8)))),
  list(key = "dyestuff", table = "dyestuff", formula = "Yield ~ 1 + (1 | Batch)", joint = list(
    says("Intercept = 1500", list(c(`(Intercept)` = 1)), 1500))),
  list(key = "dyestuff2", table = "dyestuff2", formula = "Yield ~ 1 + (1 | Batch)", joint = list(
    says("Intercept = 5", list(c(`(Intercept)` = 1)), 5))),
  list(key = "unbalanced", table = "unbalanced", formula = "y ~ x * w + (x | g)", joint = list(
    says("x = 0, w = 0", list(c(x = 1), c(w = 1))),
    says("x - w = 0, 2*x + w = 3", list(c(x = 1, w = -1), c(x = 2, w = 1)), c(0, 3)),
    says("x = w, x:w = 0, Intercept = 2",
         list(c(x = 1, w = -1), c(`x:w` = 1), c(`(Intercept)` = 1)), c(0, 0, 2)),
    says("2*x + w = 3", list(c(x = 2, w = 1)), 3))),
  list(key = "unbalanced_intercept", table = "unbalanced", formula = "y ~ x * w + (1 | g)", joint = list(
    says("x = 0, w = 0, x:w = 0", list(c(x = 1), c(w = 1), c(`x:w` = 1)))))
)

# ---- what is kept ------------------------------------------------------------------------------

kenward_roger <- function(fit) {
  V0 <- vcov(fit)
  VA <- vcovAdj(fit)
  p <- length(fixef(fit))
  df <- sapply(seq_len(p), function(i) Lb_ddf(as.numeric(seq_len(p) == i), V0, VA))
  list(vcov = matrix_rows(as.matrix(VA)), se = vec(sqrt(diag(as.matrix(VA)))), df = vec(df))
}

contrast <- function(h, fit) {
  names <- names(fixef(fit))
  L <- t(sapply(h$rows, function(r) { l <- setNames(numeric(length(names)), names); l[names(r)] <- r; l }))
  matrix(L, nrow = length(h$rows), dimnames = list(NULL, names))
}

joint <- function(h, fit) {
  L <- contrast(h, fit)
  # KRmodcomp takes a particular solution of L beta = rhs
  betaH <- as.numeric(t(L) %*% solve(L %*% t(L), h$rhs))
  kr <- KRmodcomp(fit, L, betaH = betaH)$stats
  satt <- contestMD(fit, L, rhs = h$rhs, ddf = "Satterthwaite")
  list(
    text = h$text, L = matrix_rows(L), rhs = vec(h$rhs),
    kenward_roger = list(F = one(kr$Fstat), F_scaling = one(kr$F.scaling), ndf = one(kr$ndf),
                         ddf = one(kr$ddf), p = one(kr$p.value)),
    satterthwaite = list(F = one(satt[["F value"]]), ndf = one(satt[["NumDF"]]),
                         ddf = one(satt[["DenDF"]]), p = one(satt[["Pr(>F)"]]))
  )
}

robust <- function(fit) {
  kinds <- c("CR0", "CR1", "CR1S", "CR2", "CR3")
  sapply(kinds, function(kind) {
    V <- vcovCR(fit, type = kind)
    test <- coef_test(fit, vcov = V, test = "Satterthwaite")
    list(vcov = matrix_rows(as.matrix(V)), se = vec(test$SE), df = vec(test$df_Satt))
  }, simplify = FALSE)
}

record <- function(fit, hypotheses) list(
  criterion = one(criterion(fit)), theta = vec(getME(fit, "theta")), sigma = one(sigma(fit)),
  names = as.list(words(names(fixef(fit)))), fixef = vec(fixef(fit)),
  kenward_roger = kenward_roger(fit),
  satterthwaite = list(df = vec(summary(fit, ddf = "Satterthwaite")$coefficients[, "df"])),
  robust = robust(fit), joint = lapply(hypotheses, joint, fit = fit)
)

fit_one <- function(m) {
  d <- tables[[m$table]]
  f <- as.formula(m$formula)
  usual <- suppressMessages(lmerTest::lmer(f, d))
  tight <- suppressMessages(lmerTest::lmer(f, d, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE
  )))
  packages <- c("lme4", "lmerTest", "pbkrtest", "clubSandwich", "mlmRev", "numDeriv", "jsonlite")
  out <- list(
    script_md5 = unname(tools::md5sum(script)), lme4_script_md5 = unname(tools::md5sum(other)),
    table = m$table, formula = m$formula,
    versions = c(list(R = R.version.string),
                 sapply(packages, function(p) as.character(packageVersion(p)), simplify = FALSE),
                 list(platform = R.version$platform, blas = basename(extSoftVersion()[["BLAS"]]))),
    date = format(Sys.Date()),
    default = record(usual, list()), tight = record(tight, m$joint)
  )
  text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
  writeLines(text, file.path(home, "output", paste0(m$key, ".json")))
  cat(sprintf("%-22s %s %s\n", m$key, digits17(criterion(tight)), isSingular(tight)))
}

wanted <- commandArgs(TRUE)
for (m in models) if (!length(wanted) || startsWith(m$key, wanted[1])) fit_one(m)
