# Reference fits by nlme, with 15 significant digits, and by lme4 for precision weights.
#
#   Rscript tests/reference/nlme/fit.R
#
# Writes nlme.json beside this file and the tables that the fits read under data/. The output holds
# the digest of this file.

suppressPackageStartupMessages({
  library(nlme)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))
dir.create(file.path(home, "data"), showWarnings = FALSE)

digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}

write_table <- function(d, name) {
  path <- file.path(home, "data", paste0(name, ".csv"))
  shown <- as.data.frame(lapply(d, function(x) if (is.numeric(x)) digits17(x) else as.character(x)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  back <- read.csv(path, colClasses = ifelse(sapply(d, is.numeric), "numeric", "character"))
  for (col in names(d)) if (is.factor(d[[col]])) back[[col]] <- factor(back[[col]])
  back
}

ortho <- with(nlme::Orthodont, data.frame(
  child = factor(as.character(Subject)), sex = factor(as.character(Sex)),
  age = age, wave = as.integer(age / 2 - 3), distance = distance
))
# The same children with a quarter of the visits missed.
set.seed(20)
gaps <- ortho[sort(sample(nrow(ortho), 81)), ]
ovary <- with(nlme::Ovary, data.frame(
  mare = factor(paste0("m", as.character(Mare))), time = Time, follicles = follicles
))
ovary$place <- ave(ovary$time, ovary$mare, FUN = seq_along)
ovary$s <- sin(2 * pi * ovary$time)
ovary$c <- cos(2 * pi * ovary$time)
machines <- with(nlme::Machines, data.frame(
  worker = factor(paste0("w", as.character(Worker))), machine = factor(as.character(Machine)),
  score = score
))
set.seed(21)
sleep <- with(lme4::sleepstudy, data.frame(
  subject = factor(paste0("p", Subject)), days = Days, reaction = Reaction
))
sleep$w <- round(runif(nrow(sleep), 0.2, 4), 3)
egsingle <- with(mlmRev::egsingle, data.frame(
  schoolid = factor(as.character(schoolid)), childid = factor(as.character(childid)),
  year = year, math = math
))
egsingle$place <- ave(egsingle$year, egsingle$childid, FUN = seq_along)
egsingle$wave <- as.integer(egsingle$year + 3.5)

ortho <- write_table(ortho, "orthodont")
gaps <- write_table(gaps, "orthodont_gaps")
ovary <- write_table(ovary, "ovary")
machines <- write_table(machines, "machines")
sleep <- write_table(sleep, "sleep_weights")

tight_lme <- lmeControl(
  maxIter = 500, msMaxIter = 500, niterEM = 50, tolerance = 1e-12, msTol = 1e-14,
  msMaxEval = 5000, apVar = FALSE, opt = "nlminb"
)
tight_gls <- glsControl(
  maxIter = 500, msMaxIter = 500, tolerance = 1e-12, msTol = 1e-14, opt = "nlminb"
)

fixed_table <- function(fit, beta) {
  list(terms = names(beta), estimate = as.numeric(beta),
       std_error = sqrt(diag(as.matrix(fit$varFix))))
}

correlation <- function(fit) {
  s <- fit$modelStruct$corStruct
  if (is.null(s)) NULL else as.numeric(coef(s, unconstrained = FALSE))
}

# The correlation matrix of the unit with the most rows.
correlation_matrix <- function(fit) {
  s <- fit$modelStruct$corStruct
  if (is.null(s)) return(NULL)
  each <- corMatrix(s)
  each[[which.max(sapply(each, nrow))]]
}

ratios <- function(fit) {
  s <- fit$modelStruct$varStruct
  if (is.null(s)) return(NULL)
  v <- coef(s, unconstrained = FALSE, allCoef = TRUE)
  list(strata = names(v), ratio = as.numeric(v))
}

kept_lme <- function(fit) {
  Sigma <- as.matrix(fit$modelStruct$reStruct[[1]]) * fit$sigma^2
  c(list(
    criterion = -2 * as.numeric(logLik(fit)), parameters = attr(logLik(fit), "df"),
    sigma = fit$sigma, covariance = Sigma, covariance_terms = rownames(Sigma),
    correlation = correlation(fit), ratios = ratios(fit),
    fitted = as.numeric(fitted(fit))[1:10], ranef = head(as.matrix(ranef(fit)), 10),
    groups = head(rownames(ranef(fit)), 10)
  ), fixed_table(fit, fixef(fit)))
}

kept_gls <- function(fit) {
  c(list(
    criterion = -2 * as.numeric(logLik(fit)), parameters = attr(logLik(fit), "df"),
    sigma = fit$sigma, correlation = correlation(fit), ratios = ratios(fit),
    matrix = if (inherits(fit$modelStruct$corStruct, "corARMA")) correlation_matrix(fit)
  ), list(terms = names(coef(fit)), estimate = as.numeric(coef(fit)),
          std_error = sqrt(diag(fit$varBeta))))
}

mixed <- function(fixed, data, ...) {
  sapply(c("REML", "ML"), function(m) kept_lme(lme(
    fixed, data = data, method = m, control = tight_lme, ...
  )), simplify = FALSE)
}
marginal <- function(fixed, data, ...) {
  sapply(c("REML", "ML"), function(m) kept_gls(gls(
    fixed, data = data, method = m, control = tight_gls, ...
  )), simplify = FALSE)
}

growth <- distance ~ age * sex
fits <- list(
  ri_ar1 = mixed(growth, ortho, random = ~ 1 | child, correlation = corAR1(form = ~ wave | child)),
  ri_ar1_gaps = mixed(growth, gaps, random = ~ 1 | child,
                      correlation = corAR1(form = ~ wave | child)),
  ri_ar1_varident = mixed(growth, ortho, random = ~ 1 | child,
                          correlation = corAR1(form = ~ wave | child),
                          weights = varIdent(form = ~ 1 | sex)),
  slope_varident = mixed(growth, ortho, random = ~ age | child,
                         weights = varIdent(form = ~ 1 | sex)),
  gls_varident = marginal(growth, ortho, weights = varIdent(form = ~ 1 | sex)),
  gls_ar1 = marginal(growth, ortho, correlation = corAR1(form = ~ wave | child)),
  gls_ar1_gaps = marginal(growth, gaps, correlation = corAR1(form = ~ wave | child)),
  gls_ar1_varident = marginal(growth, ortho, correlation = corAR1(form = ~ wave | child),
                              weights = varIdent(form = ~ 1 | sex)),
  gls_cs = marginal(growth, ortho, correlation = corCompSymm(form = ~ 1 | child)),
  gls_cs_varident = marginal(growth, ortho, correlation = corCompSymm(form = ~ 1 | child),
                             weights = varIdent(form = ~ 1 | wave)),
  gls_un = marginal(growth, ortho, correlation = corSymm(form = ~ wave | child),
                    weights = varIdent(form = ~ 1 | wave)),
  gls_un_gaps = marginal(growth, gaps, correlation = corSymm(form = ~ wave | child),
                         weights = varIdent(form = ~ 1 | wave)),
  gls_corsymm = marginal(growth, ortho, correlation = corSymm(form = ~ wave | child)),
  gls_toeplitz = marginal(growth, ortho, correlation = corARMA(form = ~ wave | child, p = 3)),
  gls_car1 = marginal(follicles ~ s + c, ovary, correlation = corCAR1(form = ~ time | mare)),
  gls_ar1_ovary = marginal(follicles ~ s + c, ovary, correlation = corAR1(form = ~ place | mare)),
  ovary_diag_ar1 = mixed(follicles ~ s + c, ovary, random = list(mare = pdDiag(~ s)),
                         correlation = corAR1(form = ~ place | mare)),
  egsingle_ar1 = mixed(math ~ year, egsingle, random = ~ 1 | childid,
                       correlation = corAR1(form = ~ place | childid)),
  egsingle_ar1_waves = mixed(math ~ year, egsingle, random = ~ 1 | childid,
                             correlation = corAR1(form = ~ wave | childid)),
  egsingle_three_levels = mixed(math ~ year, egsingle, random = list(schoolid = ~ 1, childid = ~ 1),
                                correlation = corAR1(form = ~ wave | schoolid/childid)),
  egsingle_schools = marginal(math ~ year, egsingle,
                              correlation = corAR1(form = ~ wave | childid)),
  machines_cs = mixed(score ~ machine, machines, random = list(worker = pdCompSymm(~ machine - 1))),
  machines_diag = mixed(score ~ machine, machines, random = list(worker = pdDiag(~ machine - 1))),
  machines_us = mixed(score ~ machine, machines, random = list(worker = pdSymm(~ machine - 1))),
  weights_slope = mixed(reaction ~ days, sleep, random = ~ days | subject,
                        weights = varFixed(~ 1 / w)),
  weights_ar1 = mixed(reaction ~ days, sleep, random = ~ 1 | subject,
                      correlation = corAR1(form = ~ days | subject),
                      weights = varFixed(~ 1 / w))
)

by_lme4 <- function(formula, data) {
  sapply(c("REML", "ML"), function(m) {
    fit <- lmerTest::lmer(formula, data, REML = m == "REML", weights = w, control = lme4::lmerControl(
      optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5)
    ))
    s <- coef(summary(fit))
    list(
      criterion = -2 * as.numeric(logLik(fit)), terms = rownames(s), estimate = s[, "Estimate"],
      std_error = s[, "Std. Error"], df = s[, "df"], sigma = sigma(fit),
      covariance = as.matrix(lme4::VarCorr(fit)[[1]]),
      ranef = as.matrix(lme4::ranef(fit)[[1]]), groups = rownames(lme4::ranef(fit)[[1]]),
      se_ranef = t(apply(attr(lme4::ranef(fit, condVar = TRUE)[[1]], "postVar"), 3,
                         function(v) sqrt(diag(v))))
    )
  }, simplify = FALSE)
}

# pbkrtest leaves weights out of V, so it is given the rows multiplied by the roots of theirs.
root <- sqrt(sleep$w)
rows <- transform(sleep, reaction = reaction * root, one = root, days = days * root)
kr <- pbkrtest::vcovAdj(lme4::lmer(reaction ~ 0 + one + days + (0 + one + days | subject), rows))

out <- list(
  script_md5 = unname(tools::md5sum(script)), date = as.character(Sys.Date()),
  r = R.version.string, nlme = as.character(packageVersion("nlme")),
  lme4 = as.character(packageVersion("lme4")),
  fits = fits,
  lme4_weights = by_lme4(reaction ~ days + (days | subject), sleep),
  kenward_roger_weights = as.matrix(kr)
)
writeLines(toJSON(out, digits = I(17), auto_unbox = TRUE, pretty = TRUE, null = "null", na = "null"),
           file.path(home, "nlme.json"))
