# Multiple membership and cross-classified growth by lme4's modular functions, raw, with 17
# significant digits.
#
#   Rscript tests/reference/factors/membership.R
#
# lme4 has no syntax for a unit that belongs to several groups with weights. Its own parts do:
# lFormula() with a stand-in factor of the right number of levels, the stand-in's rows of Z'
# replaced by the weights (times the predictor, for a slope), then mkLmerDevfun() as always.
#
# The output holds the digest of this file and of ../lme4/fit.R, from which the tight optimiser and
# the printing of numbers come.

suppressPackageStartupMessages({
  library(lme4)
  library(Matrix)
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

# ---- data ------------------------------------------------------------------------------------

write_table <- function(d, name) {
  path <- file.path(home, "data", paste0(name, ".csv"))
  shown <- as.data.frame(lapply(d, function(x) if (is.numeric(x)) digits17(x) else as.character(x)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  back <- read.csv(path)
  for (v in names(d)) if (is.factor(d[[v]])) back[[v]] <- factor(back[[v]], levels = levels(d[[v]]))
  back
}

# Weights as a table of the entries that are not zero: row of the data, group, weight.
write_weights <- function(W, name) {
  at <- which(W != 0, arr.ind = TRUE)
  at <- at[order(at[, 1], at[, 2]), ]
  back <- write_table(
    data.frame(row = at[, 1], school = factor(colnames(W)[at[, 2]]), weight = W[at]), name
  )
  found <- matrix(0, nrow(W), ncol(W), dimnames = dimnames(W))
  found[cbind(back$row, match(back$school, colnames(W)))] <- back$weight
  found
}

# Pupils who attended one to three of 24 schools, with the share of time as weight.
set.seed(2013)
n <- 240
schools <- sprintf("s%02d", 1:24)
W <- matrix(0, n, 24, dimnames = list(NULL, schools))
for (i in seq_len(n)) {
  k <- sample(1:3, 1, prob = c(0.6, 0.3, 0.1))
  share <- rexp(k)
  W[i, sample(24, k)] <- round(share / sum(share), 3)
  W[i, ] <- W[i, ] / sum(W[i, ])
}
x <- rnorm(n) + 0.4
area <- sample(6, n, replace = TRUE)
u <- cbind(rnorm(24), 0.5 * rnorm(24))
y <- 1 + 0.6 * x + W %*% u[, 1] + x * (W %*% u[, 2]) + 0.7 * rnorm(6)[area] + rnorm(n)
pupils <- write_table(data.frame(y = as.vector(y), x = x, area = factor(paste0("a", area))), "pupils")
shares <- write_weights(W, "pupils_shares")

# Children over five occasions, some of whom change school; a school acts now, or adds up for good.
set.seed(1996)
children <- 60
child <- rep(seq_len(children), each = 5)
t <- rep(0:4, children)
school <- integer(length(t))
for (i in seq_along(t)) {
  school[i] <- if (t[i] == 0 || runif(1) < 0.2) sample(12, 1) else school[i - 1]
}
kept <- t == 0 | runif(length(t)) > 0.12
C <- matrix(0, length(t), 12, dimnames = list(NULL, schools[1:12]))
for (i in seq_along(t)) {
  if (t[i] > 0) C[i, ] <- C[i - 1, ]
  C[i, school[i]] <- C[i, school[i]] + 1
}
v <- rnorm(12)
b <- cbind(0.8 * rnorm(children), 0.3 * rnorm(children))
y <- 1 + 0.7 * t + b[child, 1] + b[child, 2] * t + 0.35 * C %*% v + 0.6 * rnorm(length(t))
growth <- write_table(data.frame(
  y = as.vector(y), t = t, child = factor(sprintf("c%02d", child)), school = factor(schools[school])
)[kept, ], "growth")
added <- write_weights(C[kept, ], "growth_added")
averaged <- write_weights((C / rowSums(C))[kept, ], "growth_averaged")

# ---- models ----------------------------------------------------------------------------------
# `unit` stands in for the schools that a row belongs to; `weights` says how.

models <- list(
  pupils = list(table = "pupils", formula = "y ~ x + (1 | unit)", weights = "pupils_shares"),
  pupils_crossed = list(table = "pupils", formula = "y ~ x + (1 | unit) + (1 | area)",
                        weights = "pupils_shares"),
  pupils_slope = list(table = "pupils", formula = "y ~ x + (x | unit) + (1 | area)",
                      weights = "pupils_shares"),
  growth_acute = list(table = "growth", formula = "y ~ t + (t | child) + (1 | school)"),
  growth_added = list(table = "growth", formula = "y ~ t + (t | child) + (1 | unit)",
                      weights = "growth_added"),
  growth_averaged = list(table = "growth", formula = "y ~ t + (t | child) + (1 | unit)",
                         weights = "growth_averaged")
)
tables <- list(pupils = pupils, growth = growth)
weights <- list(pupils_shares = shares, growth_added = added, growth_averaged = averaged)

with_weights <- function(parsed, W) {
  terms <- parsed$reTrms
  group <- names(terms$flist)[attr(terms$flist, "assign")]
  for (i in which(group == "unit")) {
    columns <- do.call(cbind, lapply(terms$cnms[[i]], function(name) {
      if (name == "(Intercept)") 1 else parsed$fr[[name]]
    }))
    columns <- matrix(columns, nrow(W), length(terms$cnms[[i]]))
    rows <- seq(terms$Gp[i] + 1, terms$Gp[i + 1])
    terms$Zt[rows, ] <- KhatriRao(Matrix(t(W), sparse = TRUE), t(columns))
  }
  terms$Zt <- drop0(terms$Zt)
  parsed$reTrms <- terms
  parsed
}

fit_by <- function(parsed, optimizer) {
  devfun <- do.call(mkLmerDevfun, parsed)
  tight <- optimizer == "polish"
  opt <- suppressMessages(optimizeLmer(
    devfun, optimizer = optimizer, restart_edge = !tight, boundary.tol = if (tight) 0 else 1e-5,
    calc.derivs = FALSE
  ))
  mkMerMod(environment(devfun), opt, parsed$reTrms, parsed$fr)
}

record <- function(fit) {
  modes <- ranef(fit, condVar = TRUE)
  list(
    criterion = one(criterion(fit)), loglik = one(logLik(fit)),
    names = as.list(words(names(fixef(fit)))), fixef = vec(fixef(fit)),
    vcov = matrix_rows(as.matrix(vcov(fit))), varcorr = table_columns(as.data.frame(VarCorr(fit))),
    theta = vec(getME(fit, "theta")), sigma = one(sigma(fit)), fitted = vec(fitted(fit)[1:10]),
    ranef = lapply(modes, function(r) list(
      levels = as.list(rownames(r)), terms = as.list(colnames(r)),
      values = lapply(seq_along(r), function(k) vec(r[[k]])),
      se = lapply(seq_along(r), function(k) vec(sqrt(attr(r, "postVar")[k, k, ])))
    ))
  )
}

fit_one <- function(m, method) {
  d <- tables[[m$table]]
  W <- if (!is.null(m$weights)) weights[[m$weights]]
  if (!is.null(W)) d$unit <- factor(rep_len(colnames(W), nrow(d)), levels = colnames(W))
  parsed <- lFormula(as.formula(m$formula), d, REML = method == "REML")
  if (!is.null(W)) parsed <- with_weights(parsed, W)
  c(m, list(method = method, default = record(fit_by(parsed, "nloptwrap")),
            tight = record(fit_by(parsed, "polish"))))
}

fits <- list()
for (key in names(models)) for (method in c("REML", "ML")) {
  found <- fit_one(models[[key]], method)
  fits[[paste(key, tolower(method), sep = "_")]] <- found
  cat(key, method, found$default$criterion, found$tight$criterion, "\n")
}
files <- c(names(tables), names(weights))
out <- list(
  script_md5 = unname(tools::md5sum(script)), lme4_script_md5 = unname(tools::md5sum(other)),
  date = format(Sys.Date()),
  versions = c(
    list(R = R.version.string),
    sapply(c("lme4", "Matrix", "numDeriv", "minqa", "nloptr", "jsonlite"),
           function(p) as.character(packageVersion(p)), simplify = FALSE),
    list(platform = R.version$platform, blas = basename(extSoftVersion()[["BLAS"]]))
  ),
  data_md5 = lapply(setNames(nm = files), function(f) {
    unname(tools::md5sum(file.path(home, "data", paste0(f, ".csv"))))
  }),
  models = fits
)
text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
writeLines(text, file.path(home, "membership.json"))
