# Loadings and intercepts equal over groups in a model of two levels, by lavaan.
#
#   Rscript tests/reference/invariance/twolevel.R      (from the root of the repository; a minute)
#
# group.equal of lavaan 0.6-14 lets intercepts between clusters vary, so every equality is written
# out: intercepts of y1 to y3 lie between clusters; those of y4 to y6, which the model has at level
# 1 only, within them. The table is lavaan's Demo.twolevel, rounded, written here and read back.

suppressPackageStartupMessages({library(lavaan); library(jsonlite)})
here <- "tests/reference/invariance"
path <- file.path(here, "twolevel.csv.gz")
con <- gzfile(path, "w", compression = 9)
write.csv(round(Demo.twolevel[c("cluster", paste0("y", 1:6))], 2), con, row.names = FALSE, quote = FALSE)
close(con)
data <- read.csv(path)
data$half <- ifelse(data$cluster %% 2 == 0, "even", "odd")

block <- function(group, mean) paste0("
group: ", group, "
level: 1
  fx =~ 1*y4 + p2*y5 + p3*y6
  fw =~ 1*y1 + w2*y2 + w3*y3
  y4 ~ n1*1
  y5 ~ n2*1
  y6 ~ n3*1
  fx ~ ", mean, "*1
  fw ~ 0*1
level: 2
  fb =~ 1*y1 + b2*y2 + b3*y3
  y1 ~ i1*1
  y2 ~ i2*1
  y3 ~ i3*1
  fb ~ ", mean, "*1
")
model <- paste0(block(1, 0), block(2, "NA"))
# The tightest tolerance at which lavaan's optimiser reports success.
for (tolerance in c(1e-12, 1e-11, 1e-10, 1e-9)) {
  control <- list(iter.max = 1e5, eval.max = 1e5, rel.tol = tolerance)
  fit <- suppressWarnings(cfa(model, data, cluster = "cluster", group = "half", baseline = FALSE,
                              h1 = FALSE, control = control))
  if (lavInspect(fit, "converged")) break
}
table <- parTable(fit)
table <- table[table$free > 0, ]
output <- list(
  script_md5 = unname(tools::md5sum(file.path(here, "twolevel.R"))),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, lavaan = as.character(packageVersion("lavaan"))),
  tolerance = tolerance, logl = as.numeric(logLik(fit)),
  table = table[c("lhs", "op", "rhs", "group", "level", "est", "se")])
writeLines(toJSON(output, auto_unbox = TRUE, digits = I(17), pretty = TRUE, na = "null", dataframe = "columns"),
           file.path(here, "twolevel.json"))
