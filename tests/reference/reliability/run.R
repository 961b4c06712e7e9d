# Reliabilities by psych, lavaan and semTools: output.json.
#
#   Rscript tests/reference/reliability/run.R      (from the root of the repository; 10 seconds)
#
# The tables are those under tests/reference/lavaan/data. Needs psych, GPArotation, lavaan, semTools
# and jsonlite.

suppressMessages({library(psych); library(lavaan); library(semTools); library(jsonlite)})
here <- "tests/reference/reliability"
hs <- read.csv("tests/reference/lavaan/data/hs.csv")
two <- read.csv("tests/reference/lavaan/data/twolevel.csv")
items <- hs[paste0("x", 1:9)]

one <- suppressWarnings(psych::alpha(items))
feldt <- psych::alpha.ci(one$total$raw_alpha, nrow(items), ncol(items), digits = NULL)
hierarchical <- function(m) {
  found <- suppressMessages(suppressWarnings(psych::omega(items, m, plot = FALSE, digits = 17)))
  list(omega_h = found$omega_h, omega_tot = found$omega.tot, omega_lim = found$omega.lim,
       group = as.list(found$omega.group),
       general = as.numeric(found$schmid$sl[, "g"]), u2 = as.numeric(found$schmid$sl[, "u2"]))
}

model <- "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"
fit <- cfa(model, hs, std.lv = TRUE, control = list(rel.tol = 1e-12))
rel <- function(fit, ...) as.list(compRelSEM(fit, ...))
bifactor <- cfa(paste("g =~", paste0("x", 1:9, collapse = " + "), "; verbal =~ x4 + x5 + x6"), hs,
                std.lv = TRUE, orthogonal = TRUE, control = list(rel.tol = 1e-12))
groups <- cfa(model, hs, std.lv = TRUE, group = "school", control = list(rel.tol = 1e-12))
# One factor of three items with its omega as a defined parameter: lavaan's delta method.
defined <- cfa("f =~ a*x1 + b*x2 + c*x3; x1 ~~ u*x1; x2 ~~ v*x2; x3 ~~ w*x3
  omega := (a + b + c)^2 / ((a + b + c)^2 + u + v + w)", hs, std.lv = TRUE)
pe <- parameterEstimates(defined)

both <- function(within, between) sem(paste("level: 1", within, "level: 2", between, sep = "\n"),
                                      two, cluster = "cluster", std.lv = FALSE)
free <- both("f =~ y1 + y2 + y3", "f =~ y1 + y2 + y3")
equal <- both("f =~ a*y1 + b*y2 + c*y3", "f =~ a*y1 + b*y2 + c*y3")
shared <- both("y1 ~~ y1 + y2 + y3\n y2 ~~ y2 + y3\n y3 ~~ y3", "f =~ y1 + y2 + y3")

output <- list(
  script_md5 = unname(tools::md5sum(file.path(here, "run.R"))),
  date = format(Sys.Date()),
  versions = lapply(c(psych = "psych", GPArotation = "GPArotation", lavaan = "lavaan",
                      semTools = "semTools"), function(p) as.character(packageVersion(p))),
  alpha = list(raw = one$total$raw_alpha, std = one$total$std.alpha, average_r = one$total$average_r,
               ase = one$total$ase, feldt = c(feldt$lower.ci, feldt$upper.ci),
               dropped = one$alpha.drop$raw_alpha, r_drop = one$item.stats$r.drop),
  hierarchical = hierarchical(3), two_factors = hierarchical(2),
  cfa = rel(fit, obs.var = FALSE, return.total = TRUE),
  cfa_observed = rel(fit, obs.var = TRUE, return.total = TRUE),
  bifactor = rel(bifactor, obs.var = FALSE),
  groups = rel(groups, obs.var = FALSE),
  delta = list(est = pe$est[pe$lhs == "omega"], se = pe$se[pe$lhs == "omega"]),
  levels = rel(free, obs.var = FALSE),
  configural = as.list(compRelSEM(equal, obs.var = FALSE, config = "f")$config$f),
  shared = as.list(compRelSEM(shared, obs.var = FALSE, shared = "f")$shared$f))
writeLines(toJSON(output, auto_unbox = TRUE, digits = I(17), pretty = TRUE, na = "null"),
           file.path(here, "output.json"))
