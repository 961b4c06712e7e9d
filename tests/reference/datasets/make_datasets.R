# Writes the data sets that ship with teamlink, and made.json, the record that the tests compare with.
#   Rscript tests/reference/datasets/make_datasets.R      (from the root of the repository)
# Needs mlmRev, nlme and jsonlite.

suppressMessages({library(mlmRev); library(nlme); library(jsonlite)})
here <- "tests/reference/datasets"
there <- "src/teamlink/data/datasets"

# Measured columns have few decimals; derived ones (means, deviations) need 17 digits to come back
# unchanged. R's own reading of text is off by a last digit at times, so it cannot be the judge.
exactly <- function(x) {
  if (!is.numeric(x)) return(as.character(x))
  sprintf(if (all(round(x, 6) == x)) "%.15g" else "%.17g", x)
}

write_exactly <- function(frame, name) {
  path <- file.path(there, paste0(name, ".csv.gz"))
  connection <- gzfile(path, "wb", compression = 9)
  writeLines(c(paste(names(frame), collapse = ","),
               do.call(paste, c(lapply(frame, exactly), sep = ","))), connection, sep = "\n")
  close(connection)
  path
}

number <- function(f) as.integer(as.character(f))
yes <- function(f, level) as.integer(f == level)

# High School and Beyond: the student file of mlmRev, the school file of nlme
student <- as.data.frame(MathAchieve)
school <- as.data.frame(MathAchSchool)
row <- match(as.character(Hsb82$school), as.character(school$School))
stopifnot(!anyNA(row), Hsb82$sector == school$Sector[row],
          as.character(Hsb82$school) == as.character(student$School),
          Hsb82$ses == student$SES, Hsb82$mAch == student$MathAch,
          abs(Hsb82$meanses - ave(Hsb82$ses, Hsb82$school)) < 1e-15,
          Hsb82$cses == Hsb82$ses - Hsb82$meanses)
hsb82 <- data.frame(
  school = number(Hsb82$school), mathach = Hsb82$mAch, ses = Hsb82$ses,
  minority = yes(Hsb82$minrty, "Yes"), female = yes(Hsb82$sx, "Female"),
  meanses = Hsb82$meanses, cses = Hsb82$cses, meanses_file = student$MEANSES,
  sector = as.character(Hsb82$sector), size = school$Size[row], pracad = school$PRACAD[row],
  disclim = school$DISCLIM[row], himinty = number(school$HIMINTY[row]))

# Sustaining Effects Study: the growth file of mlmRev, every column
egsingle <- data.frame(
  schoolid = number(egsingle$schoolid), childid = number(egsingle$childid),
  year = egsingle$year, grade = egsingle$grade, math = egsingle$math,
  retained = number(egsingle$retained), female = as.character(egsingle$female),
  black = number(egsingle$black), hispanic = number(egsingle$hispanic),
  size = egsingle$size, lowinc = egsingle$lowinc, mobility = egsingle$mobility)

describe <- function(frame) {
  numeric <- Filter(is.numeric, frame)
  text <- Filter(is.character, frame)
  list(rows = nrow(frame), columns = names(frame),
       numeric = lapply(numeric, function(x)
         list(sum = sum(x), sum_of_squares = sum(x^2), min = min(x), max = max(x),
              different = length(unique(x)))),
       text = lapply(text, function(x) as.list(table(x))))
}

frames <- list(hsb82 = hsb82, egsingle = egsingle)
paths <- mapply(write_exactly, frames, names(frames))
script <- file.path(here, "make_datasets.R")

record <- list(
  script_md5 = unname(tools::md5sum(script)),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, mlmRev = as.character(packageVersion("mlmRev")),
                  nlme = as.character(packageVersion("nlme"))),
  csv_md5 = as.list(setNames(tools::md5sum(paths), names(frames))),
  frames = lapply(frames, describe))
writeLines(toJSON(record, auto_unbox = TRUE, digits = I(17), pretty = TRUE),
           file.path(here, "made.json"))
