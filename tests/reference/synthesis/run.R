# Meta-analyses by metafor and clubSandwich, raw, with 17 significant digits: output.json and data.
#
#   Rscript tests/reference/synthesis/run.R      (from the root of the repository; 20 seconds)
#
# The output holds the digest of this file and of its data. metafor's searches are told to go on
# until nothing changes, so that both sides stand at the optimum.

suppressPackageStartupMessages({
  library(metafor)
  library(clubSandwich)
  library(jsonlite)
})
here <- "tests/reference/synthesis"
strict <- list(threshold = 1e-14, tol = 1e-14, maxiter = 10000)

# ---- data ----------------------------------------------------------------------------------------

bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
bcg <- with(bcg, data.frame(trial, yi = as.numeric(yi), vi = as.numeric(vi), ablat, year, alloc,
                            tpos, n1 = tpos + tneg, cpos, n2 = cpos + cneg))
calendar <- with(dat.konstantopoulos2011, data.frame(district, school, year,
                 curve = ((year - 1990) / 10)^2, yi = as.numeric(yi), vi = as.numeric(vi)))
set.seed(31)
alike <- data.frame(trial = 1:8, vi = round(runif(8, 0.02, 0.2), 3))
alike$yi <- round(0.25 + 0.2 * sqrt(alike$vi) * rnorm(8), 3)
means <- data.frame(m1 = c(10.2, 55, 3.1), sd1 = c(2, 9.5, 1.1), n1 = c(12, 40, 150),
                    m2 = c(9.1, 51.5, 3.3), sd2 = c(2.4, 10.5, 0.9), n2 = c(10, 44, 141))
tables <- list(bcg = bcg, calendar = calendar, alike = alike, means = means)
for (name in names(tables)) {
  path <- file.path(here, paste0(name, ".csv"))
  write.csv(tables[[name]], path, row.names = FALSE, quote = FALSE)
  tables[[name]] <- read.csv(path)
}
bcg <- tables$bcg; calendar <- tables$calendar; alike <- tables$alike; means <- tables$means

# ---- models --------------------------------------------------------------------------------------

num <- function(x) as.numeric(x)
said <- function(fit) list(
  b = num(fit$b), se = num(fit$se), stat = num(fit$zval), p = num(fit$pval), ddf = num(fit$ddf),
  low = num(fit$ci.lb), high = num(fit$ci.ub), tau2 = num(fit$tau2), Q = num(fit$QE),
  Qp = num(fit$QEp), I2 = num(fit$I2), H2 = num(fit$H2), QM = num(fit$QM), QMp = num(fit$QMp),
  ll = num(logLik(fit)))
profile <- function(fit) {
  found <- suppressWarnings(confint(fit, control = list(tol = 1e-14, maxiter = 100000)))$random
  num(found[1, 2:3])
}
pool <- function(d, method, test, mods = NULL) {
  fit <- if (is.null(mods)) rma(yi, vi, data = d, method = method, test = test, control = strict)
         else rma(yi, vi, mods = mods, data = d, method = method, test = test, control = strict)
  out <- said(fit)
  if (method != "FE") out$profile <- profile(fit)
  if (is.null(mods)) {
    at <- predict(fit)
    if (method != "FE") out$prediction <- num(c(at$pi.lb, at$pi.ub))
    out$weights <- num(weights(fit)) / 100
  }
  out
}
models <- list()
for (method in c("REML", "ML", "DL", "PM", "FE")) {
  for (test in if (method == "FE") "z" else c("z", "knha", "adhoc")) {
    key <- paste(tolower(method), test, sep = "_")
    models[[paste0("bcg_", key)]] <- pool(bcg, method, test)
    models[[paste0("alike_", key)]] <- pool(alike, method, test)
    models[[paste0("moderated_", key)]] <- pool(bcg, method, test, ~ ablat + alloc)
  }
}

plain <- rma(yi, vi, data = bcg, test = "knha", control = strict)
one_out <- do.call(rbind, lapply(seq_len(nrow(bcg)), function(i) {
  f <- rma(yi, vi, data = bcg[-i, ], test = "knha", control = strict)
  c(f$b, f$se, f$ci.lb, f$ci.ub, f$pval, f$tau2, f$I2, f$QE)
}))
eggers <- regtest(plain, model = "lm")
egger <- list(stat = num(eggers$zval), df = num(eggers$dfs), p = num(eggers$pval),
              limit = num(eggers$est))

# ---- clusters ------------------------------------------------------------------------------------

robust <- function(fit, cluster, kind, joint = NULL) {
  test <- coef_test(fit, vcov = kind, cluster = cluster, test = "Satterthwaite")
  out <- list(b = num(fit$b), se = num(test$SE), df = num(test$df_Satt), p = num(test$p_Satt))
  if (!is.null(joint)) {
    w <- Wald_test(fit, constrain_zero(joint), vcov = kind, cluster = cluster, test = "HTZ")
    out$joint <- num(c(w$Fstat, w$df_num, w$df_denom, w$p_val))
  }
  out
}
fine <- list(optimizer = "BFGS", reltol = 1e-14)
flat <- rma(yi, vi, data = calendar, control = strict)
bent <- rma(yi, vi, mods = ~ year + curve, data = calendar, control = strict)
three <- function(method, mods = ~ 1) rma.mv(yi, vi, mods = mods, random = ~ 1 | district / school,
  data = calendar, method = method, test = "t", dfs = "contain", control = fine)
levels3 <- function(fit) list(b = num(fit$b), se = num(fit$se), sigma2 = num(fit$sigma2),
                              ll = num(logLik(fit)), ddf = num(fit$ddf), p = num(fit$pval))
nest <- three("REML")
nested <- list(reml = levels3(nest), ml = levels3(three("ML")),
               year = levels3(three("REML", ~ year)),
               CR2 = robust(nest, calendar$district, "CR2"))
clusters <- list(CR0 = robust(flat, calendar$district, "CR0"),
                 CR1 = robust(flat, calendar$district, "CR1"),
                 CR2 = robust(flat, calendar$district, "CR2"),
                 CR2_bent = robust(bent, calendar$district, "CR2", 2:3))

# ---- effect sizes --------------------------------------------------------------------------------

sizes <- list(
  z = escalc(measure = "ZCOR", ri = c(0.1, -0.4, 0.85), ni = c(20, 53, 400)),
  g = escalc(measure = "SMD", m1i = m1, sd1i = sd1, n1i = n1, m2i = m2, sd2i = sd2, n2i = n2,
             data = means))
sizes <- lapply(sizes, function(e) list(yi = num(e$yi), vi = num(e$vi)))

digest <- function(name) unname(tools::md5sum(file.path(here, name)))
files <- c("run.R", paste0(names(tables), ".csv"))
output <- list(
  digests = setNames(as.list(sapply(files, digest)), files),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
                  clubSandwich = as.character(packageVersion("clubSandwich"))),
  models = models, one_out = one_out, egger = egger, nested = nested, clusters = clusters,
  sizes = sizes)
writeLines(toJSON(output, auto_unbox = TRUE, digits = I(17), pretty = TRUE, na = "null"),
           file.path(here, "output.json"))
