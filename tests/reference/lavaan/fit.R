# Structural equations by lavaan, written as they come, with 17 significant digits.
#
#   Rscript tests/reference/lavaan/fit.R
#
# models.json says what is fitted. The tables are those of lavaan, written here first and read back.
# Every output holds the digests of this file and of models.json.

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))

verbatim <- function(text) structure(text, class = "json")
digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}
vec <- function(x) verbatim(paste0("[", paste(digits17(x), collapse = ","), "]"))
mat <- function(x) verbatim(paste0("[", paste(apply(x, 1, function(r) paste0("[", paste(digits17(r), collapse = ","), "]")), collapse = ","), "]"))
texts <- function(x) lapply(x, unbox)

tables <- list(
  hs = HolzingerSwineford1939[c("school", "sex", "ageyr", paste0("x", 1:9))],
  democracy = PoliticalDemocracy,
  growth = Demo.growth,
  burns = FacialBurns,
  twolevel = Demo.twolevel[c("cluster", paste0("y", 1:3), paste0("x", 1:3))]
)
dir.create(file.path(home, "data"), showWarnings = FALSE)
dir.create(file.path(home, "output"), showWarnings = FALSE)
for (name in names(tables)) {
  d <- tables[[name]]
  for (column in names(d)) if (is.numeric(d[[column]])) d[[column]] <- sprintf("%.15g", d[[column]])
  write.csv(d, file.path(home, "data", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}

arguments <- function(o) {
  own <- list()
  if (!is.null(o$estimator)) own$estimator <- toupper(o$estimator)
  if (!is.null(o$group)) own$group <- o$group
  if (!is.null(o$group_equal)) own$group.equal <- gsub("_", ".", gsub("lv_", "lv.", o$group_equal))
  if (!is.null(o$group_partial)) own$group.partial <- o$group_partial
  if (!is.null(o$cluster)) own$cluster <- o$cluster
  if (!is.null(o$information)) own$information <- o$information
  if (!is.null(o$fixed_x)) own$fixed.x <- o$fixed_x
  if (!is.null(o$std_lv)) own$std.lv <- o$std_lv
  if (!is.null(o$orthogonal)) own$orthogonal <- o$orthogonal
  if (!is.null(o$meanstructure)) own$meanstructure <- o$meanstructure
  own
}

rows <- function(frame, columns) {
  out <- list()
  if (is.character(frame$group)) frame$group <- match(frame$group, unique(frame$group[frame$group != "0" & frame$group != ""]))
  for (name in intersect(columns, names(frame))) {
    x <- frame[[name]]
    out[[name]] <- if (is.numeric(x)) vec(x) else texts(as.character(x))
  }
  out
}

one_model <- function(m) {
  data <- read.csv(file.path(home, "data", paste0(m$data, ".csv")))
  verb <- if (isTRUE(m$options$growth)) "growth" else "sem"
  own <- c(list(model = m$model, data = data), arguments(m$options))
  # The default tolerance leaves estimates 1e-5 off; too tight a one ends as "false convergence".
  for (tolerance in c(1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10)) {
    own$control <- list(iter.max = 1e5, eval.max = 1e5, rel.tol = tolerance)
    fit <- suppressWarnings(do.call(verb, own))
    if (lavInspect(fit, "converged")) break
  }
  fit <- polished(fit, verb, own)
  columns <- c("lhs", "op", "rhs", "group", "label", "est", "se", "z", "pvalue", "ci.lower", "ci.upper")
  pe <- suppressWarnings(parameterEstimates(fit, standardized = TRUE, remove.system.eq = FALSE))
  std <- suppressWarnings(standardizedSolution(fit, remove.eq = FALSE, remove.ineq = FALSE, remove.def = FALSE))
  pt <- parTable(fit)
  measures <- fitMeasures(fit)
  said <- list(
    script_md5 = unbox(digest_of(normalizePath(script))),
    models_md5 = unbox(digest_of(file.path(home, "models.json"))),
    versions = list(R = unbox(R.version.string), lavaan = unbox(as.character(packageVersion("lavaan")))),
    tolerance = unbox(tolerance),
    converged = unbox(lavInspect(fit, "converged")),
    gradient = vec(max(abs(lavTech(fit, "gradient")))),
    table = rows(pt, c("lhs", "op", "rhs", "user", "group", "free", "ustart", "exo", "label")),
    estimates = rows(pe, c(columns, "std.lv", "std.all")),
    standardized = rows(std, c("lhs", "op", "rhs", "group", "est.std", "se")),
    measures = list(names = texts(names(measures)), values = vec(measures))
  )
  several <- !is.null(m$options$group)
  implied <- lavInspect(fit, "implied")
  first <- if (is.list(implied[[1]])) implied[[1]] else implied
  said$implied <- list(names = texts(rownames(first$cov)), cov = mat(first$cov))
  r2 <- suppressWarnings(lavInspect(fit, "rsquare"))
  if (several) r2 <- r2[[1]]
  said$r2 <- list(names = texts(names(r2)), values = vec(r2))
  mi <- tryCatch(suppressWarnings(modindices(fit, sort. = TRUE)), error = function(e) NULL)
  if (!is.null(mi)) said$modification <- rows(utils::head(mi, 40), c("lhs", "op", "rhs", "group", "mi", "epc", "sepc.all"))
  if (length(lavNames(fit, "lv"))) {
    for (method in c("regression", "Bartlett")) {
      s <- tryCatch(suppressWarnings(lavPredict(fit, method = method)), error = function(e) NULL)
      if (!is.null(s)) {
        if (is.list(s)) s <- s[[1]]
        said[[method]] <- list(names = texts(colnames(s)), values = mat(utils::head(s, 5)))
      }
    }
  }
  writeLines(toJSON(said, null = "null", json_verbatim = TRUE), file.path(home, "output", paste0(m$key, ".json")))
  cat(m$key, "\n")
}

# Newton steps from where nlminb stopped, along what equality constraints leave.
polished <- function(fit, verb, own) {
  table <- parTable(fit)
  if (any(table$op %in% c("<", ">"))) return(fit)
  model <- fit@Model
  x <- lavaan:::lav_model_get_parameters(model)
  H <- lavInspect(fit, "hessian")
  K <- if (model@eq.constraints) model@eq.constraints.K else diag(length(x))
  for (i in 1:4) {
    g <- lavaan:::lav_model_gradient(model, lavsamplestats = fit@SampleStats, lavdata = fit@Data)
    g <- if (model@eq.constraints && length(g) == ncol(K)) g else crossprod(K, g)
    x <- x - drop(K %*% solve(crossprod(K, H %*% K), g))
    model <- lavaan:::lav_model_set_parameters(model, x = x)
  }
  table$est[table$free > 0] <- x[table$free[table$free > 0]]
  own$start <- table
  own$control <- NULL
  if (is.null(own$fixed.x)) own$fixed.x <- TRUE
  own$optim.method <- "none"
  suppressWarnings(do.call(verb, own))
}

digest_of <- function(path) unname(tools::md5sum(path))

models <- fromJSON(file.path(home, "models.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
only <- commandArgs(TRUE)
for (m in models) if (!length(only) || m$key %in% only) one_model(m)
