# Value-added models by R, raw, with 17 significant digits: random effects of teachers and schools
# (lme4), fixed effects by dummies (lm), and returns to experience by context.
#
#   Rscript tests/reference/value_added/run.R
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
borrowed <- c("verbatim", "digits17", "vec", "one", "matrix_rows", "words", "newton_step", "polish",
              "criterion")
for (e in parse(other)) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && as.character(e[[2]])[1] %in% borrowed) eval(e)
}

# 60 teachers in 12 schools over four years; `site` is the school, `mobile` one that teachers change.
set.seed(20261123)
teachers <- 60
pupils <- do.call(rbind, lapply(seq_len(teachers), function(t) {
  do.call(rbind, lapply(1:4, function(y) {
    n <- 3 + (5 * t + 3 * y) %% 9
    data.frame(teacher = t, year = 2010 + y, pupil = seq_len(n))
  }))
}))
pupils$pupil <- NULL
pupils$site <- (pupils$teacher - 1) %/% 5 + 1
moved <- (pupils$teacher %% 3 == 0) & pupils$year >= 2013
pupils$mobile <- ifelse(moved, pupils$site %% 12 + 1, pupils$site)
entry <- sample(0:12, teachers, replace = TRUE)
pupils$experience <- entry[pupils$teacher] + pupils$year - 2011
pupils$climate <- round(rnorm(12)[pupils$site], 3)
n <- nrow(pupils)
pupils$prior <- round(rnorm(12, 0, 0.3)[pupils$site] + rnorm(n), 3)
pupils$reading <- round(0.6 * pupils$prior + rnorm(n, 0, 0.8), 3)
pupils$poor <- rbinom(n, 1, 0.4)
gain <- pmin(pupils$experience, 10) * (0.03 + 0.01 * pupils$climate)
pupils$score <- round(0.6 * pupils$prior + 0.1 * pupils$reading - 0.15 * pupils$poor +
  0.05 * (pupils$year - 2011) + gain + rnorm(teachers, 0, 0.2)[pupils$teacher] +
  rnorm(12, 0, 0.15)[pupils$mobile] + rnorm(n, 0, 0.55), 3)
write.csv(pupils, file.path(home, "pupils.csv"), row.names = FALSE, quote = FALSE)
pupils <- read.csv(file.path(home, "pupils.csv"))

# ---- random effects ------------------------------------------------------------------------------

mixed <- function(f) {
  suppressMessages(lmerTest::lmer(f, pupils, REML = TRUE, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE)))
}

random <- function(f) {
  fit <- mixed(f)
  groups <- lapply(ranef(fit, condVar = TRUE), function(r) {
    list(levels = as.list(words(rownames(r))), effect = vec(r[[1]]),
         se = vec(sqrt(attr(r, "postVar")[1, 1, ])))
  })
  v <- as.data.frame(VarCorr(fit))
  list(formula = deparse1(f), criterion = one(criterion(fit)), fixef = vec(fixef(fit)),
       variance = setNames(lapply(v$vcov, one), v$grp), groups = groups)
}

# ---- fixed effects ---------------------------------------------------------------------------------

centred <- function(fit, columns, first) {
  # effects of all levels about their mean, the first level being the reference
  p <- length(coef(fit))
  L <- matrix(0, length(columns) + 1, p)
  for (i in seq_along(columns)) L[i + 1, which(names(coef(fit)) == columns[i])] <- 1
  L <- sweep(L, 2, colMeans(L))
  list(effect = vec(as.vector(L %*% coef(fit))), se = vec(sqrt(diag(L %*% vcov(fit) %*% t(L)))),
       levels = as.list(words(c(first, sub(".*\\)", "", columns)))))
}

fixed <- function(f, covariates) {
  fit <- lm(f, pupils)
  one_way <- grep("factor\\(teacher\\)", names(coef(fit)), value = TRUE)
  two_way <- grep("factor\\(mobile\\)", names(coef(fit)), value = TRUE)
  V <- vcovCR(fit, cluster = pupils$site, type = "CR1")
  out <- list(formula = deparse1(f), coef = vec(coef(fit)[covariates]),
              se = vec(sqrt(diag(vcov(fit)))[covariates]), sigma = one(sigma(fit)),
              df = one(fit$df.residual), meat_se = vec(sqrt(diag(V))[covariates]),
              teachers = centred(fit, one_way, 1))
  if (length(two_way)) out$schools <- centred(fit, two_way, 1)
  out
}

# ---- returns to experience ---------------------------------------------------------------------------

e <- pmin(pupils$experience, 10) / 10
pupils$growth1 <- e
pupils$growth2 <- e^2
pupils$environment <- pupils$climate - mean(pupils$climate)
per_teacher <- tapply(pupils$climate, pupils$teacher, mean)
at <- as.vector(quantile(per_teacher, c(0.25, 0.75))) - mean(pupils$climate)

compared <- function(b, V, names) {
  L <- matrix(0, 2, length(b), dimnames = list(NULL, names))
  L[, "growth1"] <- 1
  L[, "growth2"] <- 1
  L[, grep(":", names)] <- at
  gain <- as.vector(L %*% b)
  S <- L %*% V %*% t(L)
  slope <- c(-gain[2] / gain[1]^2, 1 / gain[1])
  list(gain = vec(gain), se = vec(sqrt(diag(S))), difference = one(diff(gain)),
       difference_se = one(sqrt(sum(c(-1, 1) * (S %*% c(-1, 1))))), ratio = one(gain[2] / gain[1]),
       ratio_se = one(sqrt(sum(slope * (S %*% slope)))))
}

growth <- mixed(score ~ prior + factor(year) + growth1 + growth2 + environment +
                  growth1:environment + (1 | teacher) + (1 | site))
within <- lm(score ~ prior + growth1 + growth2 + growth1:environment + factor(teacher), pupils)

out <- list(
  script = "run.R", script_md5 = unname(tools::md5sum(script)),
  lme4_script_md5 = unname(tools::md5sum(other)),
  versions = c(list(R = R.version.string),
               sapply(c("lme4", "lmerTest", "clubSandwich", "numDeriv", "jsonlite"),
                      function(p) as.character(packageVersion(p)), simplify = FALSE),
               list(platform = R.version$platform)),
  date = format(Sys.Date()),
  random = list(
    nested = random(score ~ prior + reading + poor + factor(year) + (1 | teacher) + (1 | site)),
    crossed = random(score ~ prior + factor(year) + (1 | teacher) + (1 | mobile)),
    yearly = random(score ~ prior + factor(year) + (1 | teacher) + (1 | site) + (1 | teacher:year)),
    gains = random(I(score - prior) ~ poor + (1 | teacher))
  ),
  fixed = list(
    teachers = fixed(score ~ prior + poor + factor(teacher), c("prior", "poor")),
    both = fixed(score ~ prior + poor + factor(teacher) + factor(mobile), c("prior", "poor"))
  ),
  experience = list(
    random = compared(fixef(growth), as.matrix(vcov(growth)), names(fixef(growth))),
    fixed = compared(coef(within), vcov(within), names(coef(within)))
  )
)
text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
writeLines(text, file.path(home, "output.json"))
