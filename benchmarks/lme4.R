# The lme4 worker: the same requests and answers as worker.py, one JSON a line.
#
#   Rscript lme4.R CACHE lme4            many responses by refit()
#   Rscript lme4.R CACHE "lme4, anew"    many responses by lmer(), each anew

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
cache <- commandArgs(TRUE)[1]
anew <- identical(commandArgs(TRUE)[2], "lme4, anew")
refits <- 20

load_problem <- function(name) {
  folder <- file.path(cache, name)
  p <- fromJSON(file.path(folder, "problem.json"), simplifyDataFrame = FALSE)
  d <- lapply(p$columns, function(col) {
    x <- readBin(file.path(folder, paste0(col$name, ".f64")), "double", p$rows)
    if (is.null(col$levels)) x else unlist(col$levels)[x + 1]
  })
  names(d) <- sapply(p$columns, function(col) col$name)
  p$data <- as.data.frame(d)
  p$formula <- as.formula(p$formula)
  if (p$refit > 0) {
    y <- readBin(file.path(folder, "responses.f64"), "double", p$rows * refits)
    p$responses <- matrix(y, p$rows)
    p$fit <- lmer(p$formula, p$data, REML = p$reml)
  }
  p
}

value <- function(fit) if (isREML(fit)) REMLcrit(fit) else -2 * as.numeric(logLik(fit))

# system.time() counts whole milliseconds; Sys.time() does not.
clock <- function(expr) {
  cpu <- proc.time()
  began <- as.numeric(Sys.time())
  force(expr)
  wall <- as.numeric(Sys.time()) - began
  cpu <- proc.time() - cpu
  list(wall = wall, cpu = cpu[["user.self"]] + cpu[["sys.self"]])
}

run <- function(p) {
  if (p$refit > 0) {
    again <- function(k) {
      if (!anew) return(refit(p$fit, p$responses[, k]))
      p$data[[all.vars(p$formula)[1]]] <- p$responses[, k]
      lmer(p$formula, p$data, REML = p$reml)
    }
    spent <- clock(fits <- lapply(seq_len(refits), again))
    count <- refits
  } else {
    fit <- function() {
      if (is.null(p$family)) lmer(p$formula, p$data, REML = p$reml)
      else glmer(p$formula, p$data, family = p$family)
    }
    spent <- clock(fits <- list(fit()))
    count <- 1
  }
  list(
    wall = spent$wall / count, cpu = spent$cpu / count, total = spent$wall, criterion = I(sapply(fits, value)),
    beta = I(unname(fixef(fits[[1]])))
  )
}

input <- file("stdin", "r")
current <- NULL
repeat {
  line <- readLines(input, 1)
  if (!length(line)) break
  request <- fromJSON(line)
  if (request$command == "quit") break
  answer <- tryCatch(suppressWarnings(suppressMessages({
    if (request$command == "load") {
      current <- NULL
      current <- load_problem(request$problem)
      list(ok = TRUE)
    } else {
      run(current)
    }
  })), error = function(e) list(error = conditionMessage(e)))
  cat(toJSON(answer, auto_unbox = TRUE, digits = 15), "\n", sep = "")
  flush(stdout())
}
