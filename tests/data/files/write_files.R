# Writes the same five rows as SPSS, Stata and SAS files for the tests of load.
#   Rscript tests/data/files/write_files.R      (from the root of the repository; needs haven)

library(haven)
here <- "tests/data/files"
schools <- data.frame(
  school = c(1, 1, 2, 2, 3), ses = c(0.1, -0.5, NA, 1.25, 0.75),
  sector = labelled(c(1, 2, 1, 2, 1), c(Public = 1, Catholic = 2)),
  name = c("Ann", "Bo", "Cy", "Di", "\u00c9va"))
attr(schools$ses, "label") <- "Socio-economic status"
write_sav(schools, file.path(here, "schools.sav"))
write_dta(schools, file.path(here, "schools.dta"))
suppressWarnings(write_sas(schools, file.path(here, "schools.sas7bdat")))
