# Mediation models by lavaan and nlme, written as they come, with 17 significant digits.
#
#   Rscript tests/reference/mediation/run.R
#
# The output holds the digest of this file. A change here asks for a new run.

suppressPackageStartupMessages({
  library(lavaan)
  library(nlme)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))

# ---- numbers as text -------------------------------------------------------------------------

verbatim <- function(text) structure(text, class = "json")
digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}
vec <- function(x) verbatim(paste0("[", paste(digits17(x), collapse = ","), "]"))

# ---- data: teachers in 80 schools --------------------------------------------------------------

set.seed(20)
J <- 80
size <- rep(c(8, 12, 16, 20), length.out = J)
school <- rep(seq_len(J), size)
N <- length(school)
lead <- rnorm(J)
collab <- 0.4 * lead + rnorm(J, sd = 0.9)
efficacy <- 0.3 * collab + 0.2 * lead + rnorm(J, sd = 0.9)
support <- 0.5 * lead + rnorm(J, sd = 0.7)
u <- matrix(rnorm(J * 6, sd = 0.6), J)
e <- matrix(rnorm(N * 9), N)
ses <- u[school, 1] + e[, 1]
trust <- (0.4 * lead + u[, 2])[school] + 0.2 * ses + e[, 2]
morale <- (0.3 * lead + 0.3 * u[, 2] + u[, 3])[school] + 0.3 * e[, 2] + e[, 3]
slopes <- cbind(0.3 + 0.6 * u[, 4], 0.4 + 0.4 * u[, 4] + 0.4 * u[, 5])
effort <- u[school, 6] + slopes[school, 1] * ses + e[, 4]
math <- (0.3 * efficacy + 0.2 * collab + 0.4 * u[, 2] + 0.4 * u[, 5])[school] +
  0.3 * trust + 0.2 * morale + 0.1 * ses + e[, 5]
reading <- 0.5 * u[school, 3] + slopes[school, 2] * effort + 0.2 * ses + 1.2 * e[, 6]
climate <- (0.5 * lead + 0.8 * u[, 2])[school] + 0.8 * e[, 2]
teachers <- data.frame(
  school, lead = lead[school], collab = collab[school], efficacy = efficacy[school],
  support = support[school], ses, trust, morale, effort, math, reading,
  c1 = climate + e[, 7], c2 = 0.8 * climate + 0.3 * u[school, 3] + e[, 8],
  c3 = 0.9 * climate + 0.3 * u[school, 1] + e[, 9]
)
con <- gzfile(file.path(home, "teachers.csv.gz"), "w", compression = 9)
write.csv(as.data.frame(lapply(teachers, digits17)), con, row.names = FALSE, quote = FALSE)
close(con)
holed <- teachers
gaps <- list(math = sort(sample(N, 120)), trust = sort(sample(N, 100)))
for (v in names(gaps)) holed[[v]][gaps[[v]]] <- NA
demo <- Demo.twolevel

# ---- models ----------------------------------------------------------------------------------

models <- list(
  demo_211 = list(demo, "cluster", FALSE, "
    level: 1
      y2 ~ b_within*y1
    level: 2
      y1 ~ a_between*w1
      y2 ~ b_between*y1 + c_between*w1
    indirect_between := a_between*b_between
    total_between := c_between + a_between*b_between
    b_between_less_within := b_between - b_within"),
  demo_221 = list(demo, "cluster", FALSE, "
    level: 1
      y1 ~~ y1
    level: 2
      w2 ~ a_between*w1
      y1 ~ b_between*w2 + c_between*w1
    indirect_between := a_between*b_between
    total_between := c_between + a_between*b_between"),
  demo_111 = list(demo, "cluster", TRUE, "
    level: 1
      y2 ~ a_within*y1
      y3 ~ b_within*y2 + c_within*y1
    level: 2
      y2 ~ a_between*y1
      y3 ~ b_between*y2 + c_between*y1
    indirect_within := a_within*b_within
    indirect_between := a_between*b_between
    indirect_between_less_within := a_between*b_between - a_within*b_within
    indirect_less_direct_within := a_within*b_within - c_within"),
  teachers_211 = list(teachers, "school", FALSE, "
    level: 1
      math ~ b_within*trust
    level: 2
      trust ~ a_between*lead + support
      math ~ b_between*trust + c_between*lead + support
    indirect_between := a_between*b_between
    total_between := c_between + a_between*b_between"),
  teachers_221_serial = list(teachers, "school", FALSE, "
    level: 1
      math ~~ math
    level: 2
      collab ~ a1_between*lead
      efficacy ~ a2_between*lead + d21_between*collab
      math ~ b1_between*collab + b2_between*efficacy + c_between*lead
    indirect1_between := a1_between*b1_between
    indirect2_between := a2_between*b2_between
    indirect12_between := a1_between*d21_between*b2_between
    indirect_between := indirect1_between + indirect2_between + indirect12_between
    total_between := c_between + indirect_between
    indirect1_less_indirect12_between := indirect1_between - indirect12_between"),
  teachers_211_parallel = list(teachers, "school", FALSE, "
    level: 1
      math ~ b1_within*trust + b2_within*morale
      trust ~~ morale
    level: 2
      trust ~ a1_between*lead
      morale ~ a2_between*lead
      math ~ b1_between*trust + b2_between*morale + c_between*lead
      trust ~~ morale
    indirect1_between := a1_between*b1_between
    indirect2_between := a2_between*b2_between
    indirect_between := indirect1_between + indirect2_between"),
  teachers_111_serial = list(teachers, "school", TRUE, "
    level: 1
      trust ~ a1_within*ses
      morale ~ a2_within*ses + d21_within*trust
      math ~ b1_within*trust + b2_within*morale + c_within*ses
    level: 2
      trust ~ a1_between*ses
      morale ~ a2_between*ses + d21_between*trust
      math ~ b1_between*trust + b2_between*morale + c_between*ses
    indirect12_within := a1_within*d21_within*b2_within
    indirect_within := a1_within*b1_within + a2_within*b2_within + indirect12_within
    indirect12_between := a1_between*d21_between*b2_between
    indirect_between := a1_between*b1_between + a2_between*b2_between + indirect12_between"),
  teachers_2211 = list(teachers, "school", FALSE, "
    level: 1
      math ~ b2_within*trust
    level: 2
      collab ~ a1_between*lead
      trust ~ a2_between*lead + d21_between*collab
      math ~ b1_between*collab + b2_between*trust + c_between*lead
    indirect12_between := a1_between*d21_between*b2_between"),
  teachers_latent = list(teachers, "school", FALSE, "
    level: 1
      cw =~ c1 + p*c2 + q*c3
      math ~ b_within*cw
    level: 2
      cb =~ c1 + p*c2 + q*c3
      cb ~ a_between*lead
      math ~ b_between*cb + c_between*lead
    indirect_between := a_between*b_between
    b_between_less_within := b_between - b_within"),
  teachers_latent_221 = list(teachers, "school", FALSE, "
    level: 1
      cw =~ c1 + p*c2 + q*c3
      math ~~ math
      cw ~~ math
    level: 2
      cb =~ c1 + p*c2 + q*c3
      cb ~ a_between*lead
      math ~ b_between*cb + c_between*lead
    indirect_between := a_between*b_between"),
  teachers_missing = list(holed, "school", FALSE, "
    level: 1
      math ~ b_within*trust
    level: 2
      trust ~ a_between*lead
      math ~ b_between*trust + c_between*lead
    indirect_between := a_between*b_between")
)

described <- function(fit) {
  table <- parTable(fit)
  named <- table[table$label != "" & !duplicated(table$label), ]
  list(
    label = named$label, est = vec(named$est), se = vec(named$se),
    logl = vec(fitMeasures(fit)["logl"]), npar = fitMeasures(fit)["npar"]
  )
}
# The tightest tolerance at which its optimiser reports success.
fitted_to <- function(one) {
  data <- one[[1]]
  missing <- if (anyNA(data)) "ml" else "listwise"
  for (tolerance in c(1e-13, 1e-12, 1e-11, 1e-10)) {
    fit <- suppressWarnings(sem(
      one[[4]], data, cluster = one[[2]], fixed.x = !one[[3]], missing = missing,
      control = list(rel.tol = tolerance)
    ))
    if (lavInspect(fit, "converged")) return(described(fit))
  }
  stop("not converged")
}
output <- lapply(models, fitted_to)

schools <- aggregate(cbind(trust, morale, math) ~ school, teachers, mean)
output$schools_222 <- described(sem("
  morale ~ a_between*trust
  math ~ b_between*morale + c_between*trust
  indirect_between := a_between*b_between
  total_between := c_between + a_between*b_between", schools, meanstructure = TRUE))
clustered <- sem("
  effort ~ a*ses
  reading ~ b*effort + c*ses
  indirect := a*b
  total := c + a*b", teachers, cluster = "school")
output$teachers_single <- described(clustered)

# ---- random slopes: mediator and outcome in one mixed model ------------------------------------

centred <- function(v) v - ave(v, school)
one <- data.frame(school, ses = centred(ses), mean = ave(ses, school), m = centred(effort))
long <- rbind(
  data.frame(one, z = effort, im = 1, iy = 0),
  data.frame(one, z = reading, im = 0, iy = 1)
)
long <- transform(long, ax = im * ses, bm = iy * m, cx = iy * ses, mm = im * mean, ym = iy * mean)
stacked <- lme(
  z ~ 0 + im + iy + ax + bm + cx + mm + ym,
  random = ~ 0 + im + iy + ax + bm + cx | school,
  weights = varIdent(form = ~ 1 | im), data = long, method = "ML",
  control = lmeControl(maxIter = 500, msMaxIter = 500, tolerance = 1e-10, msTol = 1e-12,
                       opt = "optim", niterEM = 200)
)
T <- as.matrix(getVarCov(stacked))
output$random <- list(
  fixed = fixef(stacked), logl = vec(as.numeric(logLik(stacked))),
  cov_ab = vec(T["ax", "bm"]), var_a = vec(T["ax", "ax"]), var_b = vec(T["bm", "bm"])
)

writeLines(toJSON(list(
  digest = unname(tools::md5sum(normalizePath(script))),
  lavaan = as.character(packageVersion("lavaan")), nlme = as.character(packageVersion("nlme")),
  r = R.version.string, date = format(Sys.Date()), gaps = gaps, models = output
), auto_unbox = TRUE, json_verbatim = TRUE, pretty = 1, digits = NA),
file.path(home, "output.json"))
