# One survey, and what R says of it: output.json. The tests read the survey and the output.
#   Rscript tests/reference/measurement/run.R      (from the root of the repository)
# Needs psych, multilevel and jsonlite.

suppressMessages({library(psych); library(multilevel); library(jsonlite)})
here <- "tests/reference/measurement"

set.seed(20240611)
sizes <- c(1, 2, 2, 3, 5, 5, 6, 8, 9, 12, 14, 17)
school <- rep(sprintf("s%02d", seq_along(sizes)), sizes)
climate <- rep(rnorm(length(sizes), sd = 0.7), sizes) + rnorm(length(school), sd = 0.6)
answer <- function(loading) {
  latent <- loading * climate + rnorm(length(school), sd = 0.7)
  pmin(pmax(round(3.3 + latent), 1), 5)
}
survey <- data.frame(school = school, c1 = answer(1), c2 = answer(0.9), c3 = 6 - answer(0.8),
                     c4 = answer(0.7))
write.csv(survey, file.path(here, "survey.csv"), row.names = FALSE, quote = FALSE)

items <- transform(survey[c("c1", "c2", "c3", "c4")], c3 = 6 - c3)
score <- rowMeans(items)
anova <- aov(score ~ as.factor(school))
table <- summary(anova)[[1]]
one <- rwg(items$c1, survey$school, ranvar = 2)
several <- rwg.j(items, survey$school, ranvar = 2)
reliability <- suppressWarnings(alpha(items))
output <- list(
  script_md5 = unname(tools::md5sum(file.path(here, "run.R"))),
  survey_md5 = unname(tools::md5sum(file.path(here, "survey.csv"))),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, psych = as.character(packageVersion("psych")),
                  multilevel = as.character(packageVersion("multilevel"))),
  aov = list(df = table[["Df"]], sum_sq = table[["Sum Sq"]], mean_sq = table[["Mean Sq"]]),
  icc1 = ICC1(anova),
  icc2 = ICC2(anova),
  alpha = reliability$total$raw_alpha,
  r_rest = setNames(as.list(reliability$item.stats$r.drop), rownames(reliability$item.stats)),
  rwg = setNames(as.list(one$rwg), one$grpid),
  rwg_j = setNames(as.list(several$rwg.j), several$grpid),
  means = as.list(tapply(score, survey$school, mean)))
writeLines(toJSON(output, auto_unbox = TRUE, digits = I(17), pretty = TRUE, na = "null"),
           file.path(here, "output.json"))
