# Comparisons of schools by R, raw, with 17 significant digits: two-way regressions with dummies and
# cluster-robust inference (clubSandwich), cluster trials (lme4, lmerTest, pbkrtest), and baseline
# differences.
#
#   Rscript tests/reference/trials/run.R
#
# The output holds the digest of this file and of ../lme4/fit.R, from which the printing of numbers
# and the tight optimiser come.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(clubSandwich)
  library(jsonlite)
  library(numDeriv)
})

script <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
home <- dirname(script)
other <- normalizePath(file.path(home, "..", "lme4", "fit.R"))
borrowed <- c("verbatim", "digits17", "vec", "one", "words", "newton_step", "polish", "criterion")
for (e in parse(other)) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && as.character(e[[2]])[1] %in% borrowed) eval(e)
}

# ---- data ------------------------------------------------------------------------------------

set.seed(20261122)

# 36 schools in 12 districts over 8 years, three starts of treatment, effects that grow, gaps.
schools <- 36
years <- 2005:2012
panel <- expand.grid(year = years, school = seq_len(schools))[, c("school", "year")]
panel$district <- (panel$school - 1) %/% 3 + 1
panel$first <- c(2008, 2010, 2011, NA, NA, NA)[panel$school %% 6 + 1]
panel$poverty <- round(rnorm(nrow(panel), 40 + panel$school / 4, 6), 2)
panel$pupils <- sample(20:90, nrow(panel), replace = TRUE)
since <- ifelse(is.na(panel$first), -1, panel$year - panel$first)
panel$score <- round(
  rnorm(schools, 0, 4)[panel$school] + 0.4 * (panel$year - 2005) - 0.05 * panel$poverty +
    ifelse(since >= 0, 1 + 0.6 * since, 0) + rnorm(nrow(panel), 0, 1.5), 3)
panel <- panel[-c(5, 44, 101, 180, 250), ]
panel$early <- as.integer(!is.na(panel$first) & panel$first == 2008)

# 40 schools in 8 blocks, half of them treated; 11 to 33 pupils each.
trial <- do.call(rbind, lapply(1:40, function(s) {
  n <- 10 + (7 * s) %% 23 + 1
  data.frame(school = s, block = (s - 1) %/% 5 + 1, pupil = seq_len(n))
}))
arm <- as.integer((1:40) %% 5 %in% c(1, 3) | (1:40) %in% c(5, 25))
trial$treated <- arm[trial$school]
trial$prior <- round(rnorm(40, 0, 0.5)[trial$school] + rnorm(nrow(trial)), 3)
trial$score <- round(0.6 * trial$prior + rnorm(8, 0, 0.2)[trial$block] +
  rnorm(40, 0, 0.25)[trial$school] + 0.2 * trial$treated + rnorm(nrow(trial), 0, 0.8), 3)
trial$girl <- rbinom(nrow(trial), 1, 0.5)
trial$year <- 1 + (trial$pupil %% 2)
trial$pupil <- NULL

write.csv(panel, file.path(home, "panel.csv"), row.names = FALSE, quote = FALSE)
write.csv(trial, file.path(home, "trial.csv"), row.names = FALSE, quote = FALSE)
panel <- read.csv(file.path(home, "panel.csv"))
trial <- read.csv(file.path(home, "trial.csv"))

# ---- difference-in-differences -----------------------------------------------------------------

robust <- function(fit, cluster, terms, L = NULL) {
  V <- vcovCR(fit, cluster = cluster, type = "CR2")
  table <- coef_test(fit, vcov = V, test = "Satterthwaite", coefs = terms)
  out <- list(terms = as.list(words(terms)), estimate = vec(coef(fit)[terms]), se = vec(table$SE),
              df = vec(table$df))
  if (!is.null(L)) {
    full <- matrix(0, nrow(L), length(coef(fit)), dimnames = list(rownames(L), names(coef(fit))))
    full[, colnames(L)] <- L
    each <- lapply(seq_len(nrow(L)), function(i) {
      w <- Wald_test(fit, constraints = full[i, , drop = FALSE], vcov = V, test = "HTZ")
      list(name = words(rownames(L)[i]), estimate = one(sum(full[i, ] * coef(fit))),
           se = one(sqrt(as.numeric(full[i, ] %*% V %*% full[i, ]))), df = one(w$df_denom))
    })
    out$contrasts <- each
  }
  out
}

# cells of cohort and period as columns of their own
cell_columns <- function(d, chosen) {
  keys <- unique(d[chosen, c("first", "year")])
  keys <- keys[order(keys$first, keys$year), ]
  X <- sapply(seq_len(nrow(keys)), function(i) {
    as.numeric(chosen & d$first == keys$first[i] & d$year == keys$year[i])
  })
  X[is.na(X)] <- 0
  colnames(X) <- sprintf("cell_%d_%d", keys$first, keys$year)
  list(X = X, keys = keys, rows = colSums(X))
}

averages <- function(cells, groups, weights) {
  L <- t(sapply(sort(unique(groups)), function(g) {
    ifelse(groups == g, weights, 0) / sum(weights[groups == g])
  }))
  dimnames(L) <- list(sprintf("%g", sort(unique(groups))), colnames(cells$X))
  L
}

fit_cells <- function(d, chosen, cluster, weights = NULL, groups = function(k) k$year - k$first,
                      covariate = FALSE, overall = NULL, lead = NULL) {
  cells <- cell_columns(d, chosen)
  both <- cbind(d, cells$X)
  f <- as.formula(paste("score ~ factor(school) + factor(year)", if (covariate) "+ poverty", "+",
                        paste(colnames(cells$X), collapse = " + ")))
  fit <- if (is.null(weights)) lm(f, both) else {
    # CR2 depends on how the rows are scaled; here they are multiplied by the roots of the weights.
    root <- sqrt(d[[weights]])
    X <- model.matrix(f, both) * root
    y <- both$score * root
    lm(y ~ 0 + ., data.frame(y, X, check.names = FALSE))
  }
  mass <- if (is.null(weights)) cells$rows else colSums(cells$X * d[[weights]])
  L <- averages(cells, groups(cells$keys), mass)
  if (!is.null(overall)) {
    keep <- overall(cells$keys)
    L <- rbind(L, overall = ifelse(keep, mass, 0) / sum(mass[keep]))
  }
  out <- robust(fit, both[[cluster]], colnames(cells$X), L)
  if (!is.null(lead)) {
    keep <- rownames(L) %in% lead
    full <- matrix(0, sum(keep), length(coef(fit)), dimnames = list(NULL, names(coef(fit))))
    full[, colnames(L)] <- L[keep, ]
    w <- Wald_test(fit, constraints = full, vcov = vcovCR(fit, cluster = both[[cluster]], type = "CR2"),
                   test = "HTZ")
    out$pretrend <- list(F = one(w$Fstat), df_num = one(w$df_num), df_denom = one(w$df_denom),
                         p = one(w$p_val))
  }
  out
}

treated <- !is.na(panel$first) & panel$year >= panel$first
not_base <- !is.na(panel$first) & panel$year - panel$first != -1
everything <- function(k) rep(TRUE, nrow(k))

twfe <- lm(score ~ factor(school) + factor(year) + treated, cbind(panel, treated = as.numeric(treated)))
residual <- resid(lm(as.numeric(treated) ~ factor(school) + factor(year), panel))
weight <- aggregate(residual[treated], list(panel$year[treated], panel$first[treated]), sum)
simple <- panel[is.na(panel$first) | panel$first == 2008, ]
simple$treated <- as.numeric(simple$early == 1 & simple$year >= 2008)

did <- list(
  extended = fit_cells(panel, treated, "school", overall = everything),
  covariate = fit_cells(panel, treated, "district", covariate = TRUE, overall = everything),
  weighted = fit_cells(panel, treated, "school", weights = "pupils", overall = everything),
  event = fit_cells(panel, not_base, "school", overall = function(k) k$year >= k$first,
                    lead = c("-6", "-5", "-4", "-3", "-2")),
  twfe = robust(twfe, panel$school, "treated"),
  simple = robust(lm(score ~ factor(school) + factor(year) + treated, simple), simple$school, "treated"),
  weights = list(cohort = vec(weight[[2]]), time = vec(weight[[1]]),
                 weight = vec(weight$x / sum(weight$x)))
)

# ---- cluster trials ------------------------------------------------------------------------------

mixed <- function(f) {
  fit <- suppressMessages(lmerTest::lmer(f, trial, REML = TRUE, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE)))
  kr <- coef(summary(fit, ddf = "Kenward-Roger"))["treated", ]
  plain <- lme4::lmer(f, trial, REML = TRUE)
  cr <- coef_test(plain, vcov = "CR2", cluster = trial$school, test = "Satterthwaite",
                  coefs = "treated")
  list(formula = deparse1(f), estimate = one(fixef(fit)["treated"]), se = one(kr["Std. Error"]),
       df = one(kr["df"]), cr_se = one(cr$SE), cr_df = one(cr$df),
       varcorr = vec(as.data.frame(VarCorr(fit))$vcov))
}
trials <- list(
  plain = mixed(score ~ treated + (1 | school)),
  full = mixed(score ~ treated + factor(block) + prior + (1 | school))
)

# ---- baseline differences --------------------------------------------------------------------------

baseline <- lapply(c(prior = "prior", girl = "girl"), function(name) {
  x <- trial[[name]]
  fit <- lm(x ~ treated, trial)
  cr <- coef_test(fit, vcov = "CR2", cluster = trial$school, test = "Satterthwaite",
                  coefs = "treated")
  a <- x[trial$treated == 1]
  b <- x[trial$treated == 0]
  list(mean_treated = one(mean(a)), mean_comparison = one(mean(b)), sd_treated = one(sd(a)),
       sd_comparison = one(sd(b)), se = one(cr$SE), df = one(cr$df), p = one(cr$p_Satt))
})
if (requireNamespace("effectsize", quietly = TRUE)) {
  g <- effectsize::hedges_g(trial$prior[trial$treated == 1], trial$prior[trial$treated == 0])
  baseline$hedges_g <- one(g$Hedges_g)
}

packages <- c("lme4", "lmerTest", "pbkrtest", "clubSandwich", "effectsize", "numDeriv", "jsonlite")
out <- list(
  script = "run.R", script_md5 = unname(tools::md5sum(script)),
  lme4_script_md5 = unname(tools::md5sum(other)),
  versions = c(list(R = R.version.string),
               sapply(packages, function(p) as.character(packageVersion(p)), simplify = FALSE),
               list(platform = R.version$platform)),
  date = format(Sys.Date()), did = did, trials = trials, baseline = baseline
)
text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
writeLines(text, file.path(home, "output.json"))
