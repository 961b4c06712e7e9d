# Networks by sna and igraph, raw, with 17 significant digits: output.json, and the data.
#
#   Rscript tests/reference/networks/run.R      (from the root of the repository; two minutes)
#
# Needs sna, igraph and jsonlite. The output holds the digest of this file and of its data.

suppressPackageStartupMessages({
  library(sna)
  library(jsonlite)
})
here <- "tests/reference/networks"

# ---- schools: two real networks, and four that are hard ------------------------------------------

set.seed(52)
data(coleman)
random <- function(n, p, back = 0) {
  m <- matrix(rbinom(n * n, 1, p), n)
  m <- pmax(m, t(m) * matrix(rbinom(n * n, 1, back), n))
  diag(m) <- 0
  m
}
star <- matrix(0, 7, 7); star[1, -1] <- 1
lonely <- random(9, 0.3, 0.5); lonely[c(3, 8), ] <- 0; lonely[, c(3, 8)] <- 0
schools <- list(fall = coleman[1, , ], spring = coleman[2, , ], star = star, lonely = lonely,
                dense = random(12, 0.6, 0.3), pairs = random(15, 0.06, 0.9))
ties <- do.call(rbind, lapply(names(schools), function(s) {
  at <- which(schools[[s]] == 1, arr.ind = TRUE)
  data.frame(school = s, source = at[, 1], target = at[, 2])
}))
people <- do.call(rbind, lapply(names(schools), function(s)
  data.frame(school = s, node = seq_len(nrow(schools[[s]])))))
write.csv(ties, file.path(here, "ties.csv"), row.names = FALSE, quote = FALSE)
write.csv(people, file.path(here, "people.csv"), row.names = FALSE, quote = FALSE)

census <- function(m) as.numeric(dyad.census(m))
directed <- function(m) {
  g <- igraph::graph_from_adjacency_matrix(m, "directed")
  list(
    density = gden(m), census = census(m),
    edgewise = grecip(m, measure = "edgewise"), nonnull = grecip(m, measure = "dyadic.nonnull"),
    dyadic = grecip(m, measure = "dyadic"),
    igraph_reciprocity = igraph::reciprocity(g),
    igraph_ratio = igraph::reciprocity(g, mode = "ratio"),
    freeman = centralization(m, degree, cmode = "freeman"),
    indegree = centralization(m, degree, cmode = "indegree"),
    outdegree = centralization(m, degree, cmode = "outdegree"),
    betweenness = centralization(m, betweenness),
    transitivity = gtrans(m, measure = "weak"),
    igraph_transitivity = igraph::transitivity(igraph::as.undirected(g, "collapse")),
    isolates = length(isolates(m)),
    weak = components(m, connected = "weak"), strong = components(m, connected = "strong"),
    node_betweenness = betweenness(m),
    indegrees = degree(m, cmode = "indegree"), outdegrees = degree(m, cmode = "outdegree"))
}
undirected <- function(m) {
  m <- pmax(m, t(m))
  g <- igraph::graph_from_adjacency_matrix(m, "undirected")
  list(
    density = gden(m, mode = "graph"),
    degree = centralization(m, degree, mode = "graph", cmode = "freeman"),
    betweenness = centralization(m, betweenness, mode = "graph", cmode = "undirected"),
    igraph_betweenness = igraph::centr_betw(g, directed = FALSE)$centralization,
    transitivity = igraph::transitivity(g),
    node_betweenness = igraph::betweenness(g, directed = FALSE))
}

# ---- regressions on dyads ------------------------------------------------------------------------

n <- 20
x <- array(0, c(3, n, n))
popular <- rnorm(n)
x[1, , ] <- matrix(rnorm(n * n), n) + outer(rep(1, n), popular)
x[2, , ] <- 0.6 * x[1, , ] + matrix(rnorm(n * n), n)
x[3, , ] <- random(n, 0.3)
y <- 0.15 * x[1, , ] + 0.3 * x[3, , ] + outer(rnorm(n), rep(1, n)) + matrix(rnorm(n * n), n)
tie <- 1 * (y > 0.5)
half <- function(m) { m <- (m + t(m)) / 2; diag(m) <- 0; m }
for (i in 1:3) diag(x[i, , ]) <- 0
diag(y) <- 0; diag(tie) <- 0
sym <- aperm(array(apply(x, 1, half), c(n, n, 3)), c(3, 1, 2))
write.csv(data.frame(y = as.vector(t(y)), tie = as.vector(t(tie)), x1 = as.vector(t(x[1, , ])),
                     x2 = as.vector(t(x[2, , ])), x3 = as.vector(t(x[3, , ]))),
          file.path(here, "dyads.csv"), row.names = FALSE)
# What is read back is what is fitted.
read <- read.csv(file.path(here, "dyads.csv"))
back <- function(v) matrix(v, n, byrow = TRUE)
y <- back(read$y); tie <- back(read$tie)
for (i in 1:3) x[i, , ] <- back(read[[paste0("x", i)]])
sym <- aperm(array(apply(x, 1, half), c(n, n, 3)), c(3, 1, 2))

reps <- 2000
said <- function(fit) list(
  coefficients = as.numeric(fit$coefficients), tstat = as.numeric(fit$tstat), n = fit$n,
  lower = as.numeric(fit$pleeq), upper = as.numeric(fit$pgreq), two = as.numeric(fit$pgreqabs))
set.seed(7)
logit <- netlogit(tie, x, nullhyp = "qap", reps = 500)
pair <- qaptest(list(y, x[1, , ]), gcor, g1 = 1, g2 = 2, reps = reps)
regressions <- list(
  reps = reps,
  dsp = said(netlm(y, x, nullhyp = "qap", reps = reps)),
  y = said(netlm(y, x, nullhyp = "qapy", reps = reps)),
  graph = said(netlm(half(y), sym, mode = "graph", nullhyp = "qap", reps = reps)),
  logit = c(said(logit), list(reps = 500, se = as.numeric(logit$se))),
  qap = list(correlation = pair$testval, lower = pair$pleeq, upper = pair$pgreq))

digest <- function(name) unname(tools::md5sum(file.path(here, name)))
files <- c("run.R", "ties.csv", "people.csv", "dyads.csv")
output <- list(
  digests = setNames(as.list(sapply(files, digest)), files),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, sna = as.character(packageVersion("sna")),
                  igraph = as.character(packageVersion("igraph"))),
  directed = lapply(schools, directed), undirected = lapply(schools, undirected),
  regressions = regressions)
writeLines(toJSON(output, auto_unbox = TRUE, digits = I(17), pretty = TRUE, na = "null"),
           file.path(here, "output.json"))
