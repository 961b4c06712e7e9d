# Reference fits with several grouping factors by lme4, lmerTest and pbkrtest, raw, with 17
# significant digits.
#
#   Rscript tests/reference/factors/fit.R              every model
#   Rscript tests/reference/factors/fit.R insteval     the models whose key begins with "insteval"
#
# Each output holds the digest of this file and of ../lme4/fit.R, from which the tight optimiser
# and the printing of numbers come. A change of either asks for a new run of every model.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
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
dir.create(file.path(home, "data"), showWarnings = FALSE)
dir.create(file.path(home, "output"), showWarnings = FALSE)

# ---- data ------------------------------------------------------------------------------------
# Every table is written, read back and fitted as read; the large ones are compressed.

paths <- list()

write_table <- function(d, name) {
  large <- nrow(d) > 1000
  path <- file.path(home, "data", paste0(name, if (large) ".csv.gz" else ".csv"))
  shown <- as.data.frame(lapply(d, function(x) if (is.numeric(x)) digits17(x) else as.character(x)))
  to <- if (large) gzfile(path, "wb", compression = 9) else file(path, "wb")
  write.csv(shown, to, row.names = FALSE, quote = FALSE)
  close(to)
  paths[[name]] <<- path
  back <- read.csv(path, colClasses = ifelse(sapply(d, is.numeric), "numeric", "character"))
  for (v in names(d)) if (is.factor(d[[v]])) {
    back[[v]] <- factor(back[[v]], levels = levels(d[[v]]), ordered = is.ordered(d[[v]]))
  }
  back
}

lettered <- function(letter, x) factor(paste0(letter, x))

# Children who move between schools; a school has a slope; everything unbalanced. `flat` has no
# variance between children, `level` none at all.
movers <- function() {
  set.seed(1971)
  child <- rep(1:30, sample(1:6, 30, replace = TRUE))
  n <- length(child)
  home_school <- sample(1:8, 30, replace = TRUE)
  school <- ifelse(runif(n) < 0.25, sample(1:8, n, replace = TRUE), home_school[child])
  x <- rnorm(n) + 0.5
  w <- rnorm(30)[child]
  v <- rnorm(8)[school]
  b <- cbind(rnorm(8), 0.6 * rnorm(8))
  part <- 1 + 0.5 * x + 0.3 * w - 0.4 * v
  e <- rnorm(n)
  data.frame(
    y = part + b[school, 1] + b[school, 2] * x + 0.9 * rnorm(30)[child] + e,
    flat = part + b[school, 1] + b[school, 2] * x + e, level = part + rnorm(n), x = x, w = w, v = v,
    child = lettered("c", child), school = lettered("s", school)
  )
}

# Classes within schools within districts, none with the same number of anything; the labels of
# classes are used again in every school.
levels3 <- function() {
  set.seed(1983)
  schools <- rep(1:7, c(2, 3, 3, 4, 2, 5, 3))
  school <- rep(seq_along(schools), times = sample(1:3, length(schools), replace = TRUE))
  class_of <- ave(school, school, FUN = seq_along)
  size <- sample(1:6, length(school), replace = TRUE)
  row <- rep(seq_along(school), size)
  n <- length(row)
  x <- rnorm(n) - 0.3
  w <- rnorm(length(schools))[school[row]]
  u <- cbind(0.8 * rnorm(length(schools)), 0.5 * rnorm(length(schools)))
  t <- rnorm(7)
  y <- 2 + 0.5 * x + 0.4 * w + t[schools[school[row]]] + u[school[row], 1] + u[school[row], 2] * x +
    0.7 * rnorm(length(school))[row] + rnorm(n)
  data.frame(
    y = y, x = x, w = w, district = lettered("d", schools[school[row]]),
    school = lettered("s", school[row]), class = lettered("k", class_of[row])
  )
}

egsingle <- with(mlmRev::egsingle, data.frame(
  math = math, year = year, schoolid = lettered("s", schoolid), childid = lettered("c", childid)
))
star <- with(subset(mlmRev::star, !is.na(math)), data.frame(
  math = as.numeric(math), gr = gr, cltype = cltype, id = lettered("p", id), sch = lettered("s", sch)
))
chem97 <- with(mlmRev::Chem97, data.frame(
  score = score, gcsecnt = gcsecnt, lea = lettered("l", lea), school = lettered("s", school)
))
scotssec <- with(mlmRev::ScotsSec, data.frame(
  attain = attain, sex = sex, primary = lettered("p", primary), second = lettered("s", second)
))
insteval <- with(lme4::InstEval, data.frame(
  y = as.numeric(y), service = as.numeric(service == "1"), s = lettered("s", s), d = lettered("d", d),
  dept = lettered("f", dept)
))
makers <- list(
  penicillin = function() lme4::Penicillin,
  pastes = function() lme4::Pastes[c("strength", "batch", "cask")],
  movers = movers, levels3 = levels3,
  scotssec = function() scotssec, egsingle = function() egsingle, chem97 = function() chem97,
  star = function() star, insteval = function() insteval
)
tables <- list()
table_of <- function(name) {
  if (is.null(tables[[name]])) tables[[name]] <<- write_table(makers[[name]](), name)
  tables[[name]]
}

# ---- models ----------------------------------------------------------------------------------
# `ours` is the formula in our spelling where it differs. `df` asks for Satterthwaite's degrees of
# freedom, `kr` for Kenward and Roger's, `modes` for random effects with their standard errors.

model <- function(key, table, formula, ours = formula, methods = c("REML", "ML"), df = TRUE,
                  kr = FALSE, modes = TRUE, joint = list()) {
  lapply(methods, function(m) list(
    key = paste(key, tolower(m), sep = "_"), table = table, formula = formula, ours = ours,
    method = m, df = df, kr = kr && m == "REML", modes = modes, joint = joint
  ))
}
says <- function(text, rows, rhs = rep(0, length(rows))) list(text = text, rows = rows, rhs = rhs)

models <- c(
  model("penicillin", "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", kr = TRUE, joint = list(
    says("Intercept = 20", list(c(`(Intercept)` = 1)), 20))),
  model("pastes", "pastes", "strength ~ 1 + (1 | batch/cask)", kr = TRUE, joint = list(
    says("Intercept = 58", list(c(`(Intercept)` = 1)), 58))),
  model("movers", "movers", "y ~ x + w + v + (x | school) + (1 | child)", kr = TRUE, joint = list(
    says("x = 0, w = 0", list(c(x = 1), c(w = 1))),
    says("w + v = 0, 2*x = 1, Intercept = 1",
         list(c(w = 1, v = 1), c(x = 2), c(`(Intercept)` = 1)), c(0, 1, 1)))),
  model("movers_intercepts", "movers", "y ~ x * w + (1 | school) + (1 | child)", kr = TRUE, joint = list(
    says("x = 0, w = 0, x:w = 0", list(c(x = 1), c(w = 1), c(`x:w` = 1))))),
  model("movers_flat", "movers", "flat ~ x + (x || school) + (1 | child)", kr = FALSE),
  model("movers_level", "movers", "level ~ x + w + (1 | school) + (1 | child)", kr = FALSE),
  model("levels3", "levels3", "y ~ x + w + (1 | district) + (x | school) + (1 | school:class)",
        kr = TRUE, joint = list(
    says("x = 0, w = 0", list(c(x = 1), c(w = 1))),
    says("x - w = 0, 2*x + w = 3", list(c(x = 1, w = -1), c(x = 2, w = 1)), c(0, 3)))),
  model("levels3_path", "levels3", "y ~ x * w + (1 | district/school/class)", kr = TRUE),
  model("scotssec", "scotssec", "attain ~ sex + (1 | primary) + (1 | second)", kr = TRUE),
  model("egsingle", "egsingle", "math ~ year + (year | schoolid) + (year | childid)"),
  model("egsingle_path", "egsingle", "math ~ year + (1 | schoolid/childid)"),
  model("chem97_null", "chem97", "score ~ 1 + (1 | lea/school)"),
  model("chem97", "chem97", "score ~ gcsecnt + (1 | lea/school)"),
  model("star", "star", "math ~ gr + cltype + (1 | id) + (1 | sch)",
        "math ~ C(gr, contr.poly) + cltype + (1 | id) + (1 | sch)", modes = FALSE),
  model("insteval_two", "insteval", "y ~ 1 + (1 | s) + (1 | d)", modes = FALSE),
  model("insteval_three", "insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", modes = FALSE),
  model("insteval_cell", "insteval", "y ~ 1 + (1 | s) + (1 | d) + (1 | dept:service)", modes = FALSE),
  model("insteval_slope", "insteval", "y ~ service + (1 | s) + (1 | d) + (service | dept)",
        modes = FALSE),
  model("insteval_diagonal", "insteval", "y ~ service + (1 | s) + (1 | d) + (service || dept)",
        modes = FALSE)
)

# ---- what is kept of a fit ---------------------------------------------------------------------

new_rows <- function(d, fit) {
  rows <- d[unique(round(seq(1, nrow(d), length.out = 6))), , drop = FALSE]
  predictors <- all.vars(nobars(formula(fit))[[3]])
  for (x in predictors) if (is.numeric(rows[[x]])) rows[[x]] <- rows[[x]] + 0.5
  rows
}

standard_errors <- function(v, rows) {
  se <- if (is.list(v)) {
    do.call(cbind, lapply(v, function(a) t(matrix(sqrt(apply(a, 3, diag)), dim(a)[1]))))
  } else {
    t(matrix(sqrt(apply(v, 3, diag)), dim(v)[1]))
  }
  matrix(se, nrow = rows)
}

# Of a factor with many levels some forty, spread over all of them.
ranef_columns <- function(fit, with_se) {
  all <- ranef(fit, condVar = with_se)
  lapply(all, function(r) {
    kept <- unique(round(seq(1, nrow(r), length.out = min(nrow(r), 40))))
    found <- list(
      levels = as.list(words(rownames(r)[kept])), terms = as.list(words(colnames(r))),
      values = lapply(seq_along(r), function(k) vec(r[[k]][kept])),
      sum_squares = lapply(seq_along(r), function(k) one(sum(r[[k]]^2)))
    )
    if (with_se) {
      se <- standard_errors(attr(r, "postVar"), nrow(r))
      found$se <- lapply(seq_along(r), function(k) vec(se[kept, k]))
    }
    found
  })
}

# Terms of lme4 in its order, with the factor Lambda of each: theta without a convention.
random_terms <- function(fit) {
  cnms <- getME(fit, "cnms")
  templates <- getME(fit, "Tlist")
  lapply(seq_along(cnms), function(i) list(
    group = names(getME(fit, "flist"))[attr(getME(fit, "flist"), "assign")[i]],
    names = as.list(words(cnms[[i]])), factor = matrix_rows(as.matrix(templates[[i]]))
  ))
}

# Predictions for a row with all effects, with none, and with those of one factor only.
predictions <- function(fit, fresh) {
  groups <- names(getME(fit, "flist"))
  partial <- lapply(groups, function(g) {
    bars <- Filter(function(b) identical(deparse(b[[3]]), g), findbars(formula(fit)))
    form <- as.formula(paste("~", paste0("(", sapply(bars, deparse), ")", collapse = " + ")))
    list(group = g, values = vec(predict(fit, newdata = fresh, re.form = form)))
  })
  unseen <- lapply(groups[!grepl(":", groups)], function(g) {
    rows <- fresh
    rows[[g]] <- "nobody"
    list(group = g, values = vec(predict(fit, newdata = rows, allow.new.levels = TRUE)))
  })
  list(
    newdata = table_columns(fresh), group = vec(predict(fit, newdata = fresh)),
    population = vec(predict(fit, newdata = fresh, re.form = NA)), partial = partial,
    unseen = unseen
  )
}

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

joint <- function(h, fit, with_kr) {
  L <- contrast(h, fit)
  satt <- contestMD(fit, L, rhs = h$rhs, ddf = "Satterthwaite")
  found <- list(
    text = h$text, L = matrix_rows(L), rhs = vec(h$rhs),
    satterthwaite = list(F = one(satt[["F value"]]), ndf = one(satt[["NumDF"]]),
                         ddf = one(satt[["DenDF"]]), p = one(satt[["Pr(>F)"]]))
  )
  if (with_kr) {
    # KRmodcomp takes a particular solution of L beta = rhs
    betaH <- as.numeric(t(L) %*% solve(L %*% t(L), h$rhs))
    kr <- KRmodcomp(fit, L, betaH = betaH)$stats
    found$kenward_roger <- list(F = one(kr$Fstat), F_scaling = one(kr$F.scaling), ndf = one(kr$ndf),
                                ddf = one(kr$ddf), p = one(kr$p.value))
  }
  found
}

record <- function(fit, d, m) {
  vc <- as.data.frame(VarCorr(fit))
  first <- seq_len(10)
  singular <- isSingular(fit)
  found <- list(
    criterion = one(criterion(fit)), loglik = one(logLik(fit)), aic = one(AIC(fit)),
    bic = one(BIC(fit)), npar = attr(logLik(fit), "df"), nobs = nobs(fit),
    ngroups = as.list(ngrps(fit)), singular = singular,
    names = as.list(words(names(fixef(fit)))), fixef = vec(fixef(fit)),
    se = vec(sqrt(diag(as.matrix(vcov(fit))))), vcov = matrix_rows(as.matrix(vcov(fit))),
    varcorr = table_columns(vc), theta = vec(getME(fit, "theta")), sigma = one(sigma(fit)),
    terms = random_terms(fit), ranef = ranef_columns(fit, m$modes),
    response = vec(model.response(model.frame(fit))[first]), fitted = vec(fitted(fit)[first]),
    resid = vec(resid(fit)[first]), fitted_sum_squares = one(sum(fitted(fit)^2)),
    resid_sum_squares = one(sum(resid(fit)^2)), predict = predictions(fit, new_rows(d, fit)),
    optimiser = words(fit@optinfo$optimizer), messages = as.list(words(fit@optinfo$conv$lme4$messages))
  )
  if (m$df) {
    coefs <- summary(fit, ddf = "Satterthwaite")$coefficients
    found$satterthwaite <- list(df = vec(coefs[, "df"]), t = vec(coefs[, "t value"]),
                                p = vec(coefs[, "Pr(>|t|)"]))
    found$joint <- lapply(m$joint, joint, fit = fit, with_kr = m$kr && !singular)
  }
  if (m$kr && !singular) found$kenward_roger <- kenward_roger(fit)
  found
}

fit_one <- function(m) {
  d <- table_of(m$table)
  f <- as.formula(m$formula)
  reml <- m$method == "REML"
  usual <- suppressMessages(lmerTest::lmer(f, d, REML = reml))
  tight <- suppressMessages(lmerTest::lmer(f, d, REML = reml, control = lmerControl(
    optimizer = "polish", restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE
  )))
  numeric <- Filter(is.numeric, d)
  packages <- c("lme4", "lmerTest", "pbkrtest", "mlmRev", "numDeriv", "minqa", "nloptr", "jsonlite")
  fixed_factors <- Filter(is.factor, d[setdiff(all.vars(nobars(f)), all.vars(f[[2]]))])
  out <- list(
    script_md5 = unname(tools::md5sum(script)), lme4_script_md5 = unname(tools::md5sum(other)),
    data = list(
      table = m$table, file = basename(paths[[m$table]]), md5 = unname(tools::md5sum(paths[[m$table]])),
      rows = nrow(d), sums = lapply(numeric, function(x) one(sum(x))),
      sums_of_squares = lapply(numeric, function(x) one(sum(x^2))),
      levels = lapply(fixed_factors, function(x) as.list(levels(x)))
    ),
    formula = m$formula, ours = m$ours, method = m$method,
    versions = c(
      list(R = R.version.string),
      sapply(packages, function(p) as.character(packageVersion(p)), simplify = FALSE),
      list(platform = R.version$platform, blas = basename(extSoftVersion()[["BLAS"]]),
           lapack = basename(La_library()))
    ),
    date = format(Sys.Date()),
    default = record(usual, d, modifyList(m, list(df = FALSE, kr = FALSE, modes = FALSE))),
    tight = record(tight, d, m)
  )
  text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
  writeLines(text, file.path(home, "output", paste0(m$key, ".json")))
  cat(sprintf("%-26s %.10f %.10f %s\n", m$key, criterion(usual), criterion(tight), isSingular(tight)))
}

wanted <- commandArgs(TRUE)
for (m in models) if (!length(wanted) || startsWith(m$key, wanted[1])) fit_one(m)
