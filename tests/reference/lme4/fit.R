# Reference fits by lme4 and lmerTest, written as they come, with 17 significant digits.
#
#   Rscript tests/reference/lme4/fit.R            every model
#   Rscript tests/reference/lme4/fit.R exam       the models whose key begins with "exam"
#
# Each output holds the digest of this file. A change here asks for a new run of every model.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(jsonlite)
  library(numDeriv)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))
dir.create(file.path(home, "data"), showWarnings = FALSE)
dir.create(file.path(home, "output"), showWarnings = FALSE)

# ---- numbers as text -------------------------------------------------------------------------

verbatim <- function(text) structure(text, class = "json")

digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}

vec <- function(x) verbatim(paste0("[", paste(digits17(x), collapse = ","), "]"))
one <- function(x) verbatim(digits17(x))
matrix_rows <- function(m) {
  rows <- apply(m, 1, function(r) paste0("[", paste(digits17(r), collapse = ","), "]"))
  verbatim(paste0("[", paste(rows, collapse = ","), "]"))
}
words <- function(x) as.character(x)
column <- function(x) if (is.numeric(x)) vec(x) else words(x)
table_columns <- function(d) lapply(as.list(d), column)

# ---- data ------------------------------------------------------------------------------------

write_table <- function(d, name) {
  path <- file.path(home, "data", paste0(name, ".csv"))
  shown <- as.data.frame(lapply(d, function(x) if (is.numeric(x)) digits17(x) else as.character(x)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  back <- read.csv(path, colClasses = ifelse(sapply(d, is.numeric), "numeric", "character"))
  for (col in names(d)) if (is.factor(d[[col]])) back[[col]] <- factor(back[[col]])
  back
}

hsb <- with(mlmRev::Hsb82, data.frame(
  school = factor(as.character(school)), mathach = mAch, ses = ses, meanses = meanses, cses = cses,
  sector = factor(as.character(sector), levels = c("Public", "Catholic"))
))
exam <- with(mlmRev::Exam, data.frame(
  school = factor(paste0("s", school)), normexam = normexam, standLRT = standLRT
))
bdf <- with(mlmRev::bdf, data.frame(
  school = factor(paste0("s", schoolNR)), lang = langPOST, iq = IQ.ver.cen,
  avg_iq = avg.IQ.ver.cen
))
tables <- list(
  hsb82 = hsb,
  exam = write_table(exam, "exam"),
  bdf = write_table(bdf, "bdf"),
  sleepstudy = write_table(with(lme4::sleepstudy, data.frame(
    Subject = factor(paste0("p", Subject)), Days = Days, Reaction = Reaction
  )), "sleepstudy"),
  dyestuff = write_table(lme4::Dyestuff, "dyestuff"),
  dyestuff2 = write_table(lme4::Dyestuff2, "dyestuff2")
)

# ---- models ----------------------------------------------------------------------------------

model <- function(key, table, formula, methods = c("REML", "ML")) {
  lapply(methods, function(m) list(
    key = paste(key, tolower(m), sep = "_"), table = table, formula = formula, method = m
  ))
}

models <- c(
  model("hsb_null", "hsb82", "mathach ~ 1 + (1 | school)"),
  model("hsb_meanses", "hsb82", "mathach ~ meanses + (1 | school)"),
  model("hsb_cses", "hsb82", "mathach ~ cses + (cses | school)"),
  model("hsb_rb", "hsb82", "mathach ~ meanses * cses + sector * cses + (cses | school)"),
  model("exam_intercept", "exam", "normexam ~ standLRT + (1 | school)"),
  model("exam_slope", "exam", "normexam ~ standLRT + (standLRT | school)"),
  model("bdf_slope", "bdf", "lang ~ iq + avg_iq + (iq | school)"),
  model("sleep_slope", "sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  model("sleep_diagonal", "sleepstudy", "Reaction ~ Days + (Days || Subject)"),
  model("sleep_intercept", "sleepstudy", "Reaction ~ Days + (1 | Subject)"),
  model("dyestuff", "dyestuff", "Yield ~ 1 + (1 | Batch)"),
  model("dyestuff2", "dyestuff2", "Yield ~ 1 + (1 | Batch)")
)

# ---- a fit at the optimum itself ---------------------------------------------------------------
# The default optimiser stops while the criterion still falls in its seventh decimal. `polish` is an
# optimiser for lmer(): the best of three tight optimisers, then Newton steps on the coordinates
# away from their bound, with Richardson derivatives of lme4's own criterion.

newton_step <- function(fn, par, free) {
  f <- function(x) { p <- par; p[free] <- x; fn(p) }
  args <- list(eps = 1e-4, d = 1e-2, r = 6, v = 2)
  g <- grad(f, par[free], method.args = args)
  h <- hessian(f, par[free], method.args = args)
  par[free] <- par[free] - solve(h, g)
  par
}

polish <- function(fn, par, lower, upper, control, ...) {
  tight <- list(
    minqa::bobyqa(par, fn, lower, upper, control = list(rhobeg = 0.2, rhoend = 1e-9)),
    lme4::Nelder_Mead(fn, par, lower, upper, control = list(
      maxfun = 20000, FtolAbs = 1e-12, FtolRel = 1e-16, XtolRel = 1e-10
    )),
    nloptwrap(par, fn, lower, upper, control = list(
      xtol_abs = 1e-11, ftol_abs = 1e-13, maxeval = 20000
    ))
  )
  value <- sapply(tight, function(o) if (is.null(o$fval)) o$fval <- o$value else o$fval)
  best <- tight[[which.min(value)]]$par
  at <- fn(best)
  free <- best > lower + 1e-6
  for (k in 1:4) {
    if (!any(free)) break
    step <- newton_step(fn, best, free)
    if (any(step < lower) || fn(step) > at + 1e-9 * (1 + abs(at)) ^ 0.5) break
    best <- step
    at <- min(at, fn(best))
  }
  best[!free & fn(replace(best, !free, lower[!free])) <= at] <- 0
  list(par = best, fval = fn(best), conv = 0, feval = NA, message = "polished")
}

# ---- what is kept of a fit ---------------------------------------------------------------------

criterion <- function(fit) {
  cmp <- getME(fit, "devcomp")$cmp
  unname(if (isREML(fit)) cmp[["REML"]] else cmp[["dev"]])
}

new_rows <- function(d, fit) {
  rows <- d[unique(round(seq(1, nrow(d), length.out = 6))), , drop = FALSE]
  predictors <- setdiff(all.vars(nobars(formula(fit))[[3]]), "sector")
  for (x in predictors) rows[[x]] <- rows[[x]] + 0.5
  rows
}

ranef_columns <- function(fit) {
  r <- ranef(fit, condVar = TRUE)[[1]]
  v <- attr(r, "postVar")
  se <- if (is.list(v)) {
    do.call(cbind, lapply(v, function(a) sqrt(a[1, 1, ])))
  } else {
    t(sqrt(apply(v, 3, diag)))
  }
  se <- matrix(se, nrow = nrow(r))
  list(
    levels = words(rownames(r)), terms = as.list(words(colnames(r))),
    values = lapply(seq_along(r), function(k) vec(r[[k]])),
    se = lapply(seq_along(r), function(k) vec(se[, k]))
  )
}

record <- function(fit, d) {
  coefs <- summary(fit)$coefficients
  vc <- as.data.frame(VarCorr(fit))
  fresh <- new_rows(d, fit)
  first <- seq_len(10)
  list(
    criterion = one(criterion(fit)), loglik = one(logLik(fit)), aic = one(AIC(fit)),
    bic = one(BIC(fit)), npar = attr(logLik(fit), "df"), nobs = nobs(fit),
    ngroups = as.integer(ngrps(fit)), singular = isSingular(fit),
    names = as.list(words(names(fixef(fit)))), fixef = vec(fixef(fit)),
    se = vec(sqrt(diag(as.matrix(vcov(fit))))), vcov = matrix_rows(as.matrix(vcov(fit))),
    df = vec(coefs[, "df"]), t = vec(coefs[, "t value"]), p = vec(coefs[, "Pr(>|t|)"]),
    varcorr = table_columns(vc), theta = vec(getME(fit, "theta")), sigma = one(sigma(fit)),
    ranef = ranef_columns(fit),
    response = vec(model.response(model.frame(fit))[first]), fitted = vec(fitted(fit)[first]),
    resid = vec(resid(fit)[first]), fitted_sum_squares = one(sum(fitted(fit)^2)),
    resid_sum_squares = one(sum(resid(fit)^2)),
    newdata = table_columns(fresh),
    predict_group = vec(predict(fit, newdata = fresh)),
    predict_population = vec(predict(fit, newdata = fresh, re.form = NA)),
    optimiser = words(fit@optinfo$optimizer), messages = as.list(words(fit@optinfo$conv$lme4$messages))
  )
}

fit_one <- function(m) {
  d <- tables[[m$table]]
  f <- as.formula(m$formula)
  reml <- m$method == "REML"
  usual <- suppressMessages(lmerTest::lmer(f, d, REML = reml))
  tight <- suppressMessages(lmerTest::lmer(f, d, REML = reml, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE
  )))
  numeric <- Filter(is.numeric, d)
  csv <- file.path(home, "data", paste0(m$table, ".csv"))
  out <- list(
    script = "fit.R", script_md5 = unname(tools::md5sum(script)),
    data = list(
      table = m$table, md5 = if (file.exists(csv)) unname(tools::md5sum(csv)) else NA,
      rows = nrow(d), sums = lapply(numeric, function(x) one(sum(x))),
      sums_of_squares = lapply(numeric, function(x) one(sum(x^2)))
    ),
    formula = m$formula, method = m$method,
    versions = c(
      list(R = R.version.string),
      sapply(c("lme4", "lmerTest", "mlmRev", "numDeriv", "minqa", "nloptr", "jsonlite"),
             function(p) as.character(packageVersion(p)), simplify = FALSE),
      list(platform = R.version$platform, blas = basename(extSoftVersion()[["BLAS"]]),
           lapack = basename(La_library()))
    ),
    date = format(Sys.Date()),
    default = record(usual, d), tight = record(tight, d)
  )
  text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
  writeLines(text, file.path(home, "output", paste0(m$key, ".json")))
  cat(sprintf("%-22s %.10f %.10f\n", m$key, criterion(usual), criterion(tight)))
}

wanted <- commandArgs(TRUE)
for (m in models) if (!length(wanted) || startsWith(m$key, wanted[1])) fit_one(m)
