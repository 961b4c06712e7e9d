# Generalized mixed models by lme4, ordinal and glmmTMB, raw, with 17 significant digits.
#
#   Rscript tests/reference/generalized/run.R          every model
#   Rscript tests/reference/generalized/run.R cbpp     the models whose key begins with "cbpp"
#
# Each output holds the digest of this file. A change here asks for a new run of every model.

suppressPackageStartupMessages({
  library(lme4)
  library(ordinal)
  library(glmmTMB)
  library(jsonlite)
})

script <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
home <- dirname(script)
dir.create(file.path(home, "data"), showWarnings = FALSE)
dir.create(file.path(home, "output"), showWarnings = FALSE)

# ---- numbers as text ---------------------------------------------------------------------------

verbatim <- function(text) structure(text, class = "json")
digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}
vec <- function(x) verbatim(paste0("[", paste(digits17(x), collapse = ","), "]"))
one <- function(x) verbatim(digits17(x))
words <- function(x) as.list(as.character(x))

# ---- data --------------------------------------------------------------------------------------

write_table <- function(d, name) {
  path <- file.path(home, "data", paste0(name, ".csv"))
  shown <- as.data.frame(lapply(d, function(x) if (is.numeric(x)) digits17(x) else as.character(x)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  back <- read.csv(path, colClasses = ifelse(sapply(d, is.numeric), "numeric", "character"))
  for (col in names(d)) if (is.factor(d[[col]])) back[[col]] <- factor(back[[col]], levels(d[[col]]))
  back
}
letter <- function(x, l) factor(paste0(l, x))

counts <- function() {
  set.seed(31)
  g <- rep(1:30, each = 8)
  x <- rnorm(240)
  mu <- exp(0.6 + 0.4 * x + rnorm(30, sd = 0.6)[g])
  data.frame(y = rnbinom(240, mu = mu, size = 1.8), x = x, g = letter(g, "g"))
}
growth <- function() {
  set.seed(32)
  g <- rep(1:25, each = 10)
  t <- rep(seq(0, 1.8, by = 0.2), 25)
  mu <- exp(1.2 + 0.5 * t + rnorm(25, sd = 0.4)[g])
  data.frame(y = mu + rnorm(250, sd = 1.1), t = t, g = letter(g, "g"))
}
pupils <- function() {
  set.seed(33)
  school <- sample(1:40, 900, TRUE)
  town <- sample(1:8, 900, TRUE)
  x <- rnorm(900)
  eta <- -0.3 + 0.7 * x + rnorm(40, sd = 0.8)[school] + rnorm(40, sd = 0.5)[school] * x +
    rnorm(8, sd = 0.6)[town]
  data.frame(pass = rbinom(900, 1, plogis(eta)), x = x, school = letter(school, "s"),
             town = letter(town, "t"))
}
tables <- list(
  cbpp = write_table(with(lme4::cbpp, data.frame(
    herd = letter(herd, "h"), incidence = incidence, size = size, period = letter(period, "p")
  )), "cbpp"),
  contraception = write_table(with(mlmRev::Contraception, data.frame(
    district = letter(district, "d"), use = as.numeric(use == "Y"), age = age, urban = urban,
    livch = factor(gsub("[+]", "", paste0("c", livch)))
  )), "contraception"),
  verbagg = write_table(with(lme4::VerbAgg, data.frame(
    id = letter(id, "i"), item = factor(gsub("[^A-Za-z0-9]", "", item)), anger = Anger,
    gender = Gender, btype = factor(as.character(btype), levels(btype)), situ = situ,
    r2 = as.numeric(r2 == "Y")
  )), "verbagg"),
  ticks = write_table(with(lme4::grouseticks, data.frame(
    brood = letter(BROOD, "b"), location = letter(LOCATION, "l"), chick = letter(INDEX, "c"),
    year = letter(YEAR, "y"), height = (HEIGHT - 460) / 36, ticks = TICKS
  )), "ticks"),
  wine = write_table(with(ordinal::wine, data.frame(
    judge = letter(judge, "j"), temp = factor(as.character(temp)),
    contact = factor(as.character(contact)), rating = as.numeric(rating)
  )), "wine"),
  counts = write_table(counts(), "counts"),
  growth = write_table(growth(), "growth"),
  pupils = write_table(pupils(), "pupils")
)

# ---- models ------------------------------------------------------------------------------------
# `formula` is ours; R's is made of it. `nagq` lists the numbers of quadrature points.

model <- function(key, table, formula, family, link, nagq = 1, programs = "glmer", trials = NULL)
  list(key = key, table = table, formula = formula, family = family, link = link, nagq = nagq,
       programs = programs, trials = trials)

use <- "use ~ age + I(age**2) + urban + livch"
verbal <- "r2 ~ anger + gender + btype + situ + (1 | id) + (1 | item)"
models <- list(
  model("cbpp", "cbpp", "incidence ~ period + (1 | herd)", "binomial", "logit", c(1, 7, 25),
        c("glmer", "glmmTMB"), "size"),
  model("cbpp_probit", "cbpp", "incidence ~ period + (1 | herd)", "binomial", "probit", c(1, 25),
        c("glmer", "glmmTMB"), "size"),
  model("cbpp_cloglog", "cbpp", "incidence ~ period + (1 | herd)", "binomial", "cloglog", c(1, 25),
        c("glmer", "glmmTMB"), "size"),
  model("contraception", "contraception", paste(use, "+ (1 | district)"), "binomial", "logit",
        c(1, 7, 25), c("glmer", "glmmTMB")),
  model("contraception_slope", "contraception", paste(use, "+ (urban | district)"), "binomial",
        "logit", 1, c("glmer", "glmmTMB")),
  model("verbagg", "verbagg", verbal, "binomial", "logit"),
  model("pupils_slope", "pupils", "pass ~ x + (x | school)", "binomial", "logit", 1,
        c("glmer", "glmmTMB")),
  model("pupils_crossed", "pupils", "pass ~ x + (x | school) + (1 | town)", "binomial", "logit", 1,
        c("glmer", "glmmTMB")),
  model("ticks", "ticks", "ticks ~ year + height + (1 | brood) + (1 | chick) + (1 | location)",
        "poisson", "log", 1, c("glmer", "glmmTMB")),
  model("ticks_brood", "ticks", "ticks ~ year + height + (1 | brood)", "poisson", "log",
        c(1, 7, 25), c("glmer", "glmmTMB")),
  model("ticks_nb", "ticks", "ticks ~ year + height + (1 | brood)", "negative-binomial", "log", 1,
        c("glmer", "glmmTMB")),
  model("counts_nb", "counts", "y ~ x + (1 | g)", "negative-binomial", "log", 1,
        c("glmer", "glmmTMB")),
  model("growth_log", "growth", "y ~ t + (1 | g)", "gaussian", "log", 1, "glmmTMB"),
  model("wine", "wine", "rating ~ temp + contact + (1 | judge)", "ordinal", "logit", c(1, 7, 10),
        "clmm"),
  model("wine_probit", "wine", "rating ~ temp + contact + (1 | judge)", "ordinal", "probit",
        c(1, 10), "clmm"),
  model("wine_slope", "wine", "rating ~ temp + contact + (temp | judge)", "ordinal", "logit", 1,
        "clmm")
)

# ---- what is kept ------------------------------------------------------------------------------

in_r <- function(m, d) {
  text <- gsub("**", "^", m$formula, fixed = TRUE)
  if (!is.null(m$trials)) {
    y <- sub(" ~.*", "", text)
    text <- sub(paste0("^", y), sprintf("cbind(%s, %s - %s)", y, m$trials, y), text)
  }
  as.formula(text)
}

# The default fit, and one whose modes are sought to rounding and whose optimum is polished.
tight <- function() glmerControl(
  optimizer = "bobyqa", tolPwrss = 1e-13, boundary.tol = 0, calc.derivs = TRUE,
  optCtrl = list(rhobeg = 0.02, rhoend = 1e-9, maxfun = 20000)
)

of_glmer <- function(fit) list(
  deviance = one(-2 * as.numeric(logLik(fit))), theta = vec(getME(fit, "theta")),
  names = words(names(fixef(fit))), fixef = vec(fixef(fit)),
  se = vec(sqrt(diag(as.matrix(vcov(fit))))),
  se_conditional = vec(sqrt(diag(as.matrix(vcov(fit, use.hessian = FALSE))))),
  dispersion = if (grepl("Negative", family(fit)$family)) one(getME(fit, "glmer.nb.theta")) else NULL,
  ranef = lapply(ranef(fit, condVar = TRUE), function(r) list(
    levels = words(rownames(r)), values = lapply(as.list(r), vec),
    variance = vec(apply(attr(r, "postVar"), 3, function(v) v[1, 1]))
  )),
  fitted = vec(head(fitted(fit), 40)), deviance_resid = vec(head(resid(fit), 40)),
  pearson = vec(head(resid(fit, "pearson"), 40))
)

glmer_fit <- function(m, d, nagq) {
  f <- in_r(m, d)
  if (m$family == "negative-binomial") {
    default <- glmer.nb(f, d)
    return(list(default = of_glmer(default)))
  }
  fam <- get(m$family)(link = m$link)
  default <- glmer(f, d, family = fam, nAGQ = nagq)
  exact <- glmer(f, d, family = fam, nAGQ = nagq, control = tight(),
                 start = list(theta = getME(default, "theta"), fixef = fixef(default)))
  list(default = of_glmer(default), tight = of_glmer(exact))
}

tmb_fit <- function(m, d) {
  fam <- switch(m$family, "negative-binomial" = nbinom2(), get(m$family)(link = m$link))
  # Started anew from its own optimum: once is not always enough for the seventh digit.
  fit <- glmmTMB(in_r(m, d), d, family = fam)
  fit <- glmmTMB(in_r(m, d), d, family = fam, start = list(
    beta = fit$fit$par[names(fit$fit$par) == "beta"], theta = fit$fit$par[names(fit$fit$par) == "theta"]
  ), control = glmmTMBControl(optCtrl = list(rel.tol = 1e-14, x.tol = 1e-12, iter.max = 5000, eval.max = 5000)))
  list(deviance = one(-2 * as.numeric(logLik(fit))), names = words(names(fixef(fit)$cond)),
       fixef = vec(fixef(fit)$cond), se = vec(sqrt(diag(vcov(fit)$cond))), sigma = one(sigma(fit)),
       vcov = lapply(VarCorr(fit)$cond, function(v) vec(as.matrix(v))))
}

clmm_fit <- function(m, d, nagq) {
  d$rating <- factor(d$rating, ordered = TRUE)
  fit <- clmm(in_r(m, d), data = d, link = m$link, nAGQ = nagq, Hess = TRUE,
              control = clmm.control(gradTol = 1e-9))
  list(deviance = one(-2 * as.numeric(logLik(fit))), names = words(names(coef(fit))),
       fixef = vec(coef(fit)), se = vec(sqrt(diag(vcov(fit)))[seq_along(coef(fit))]),
       vcov = lapply(VarCorr(fit), function(v) vec(as.matrix(v))), fitted = vec(head(fitted(fit), 40)))
}

fit_one <- function(m) {
  d <- tables[[m$table]]
  fits <- list()
  quiet <- function(e) suppressWarnings(suppressMessages(e))
  for (program in m$programs) {
    fits[[program]] <- switch(program,
      glmer = sapply(as.character(m$nagq), function(k) quiet(glmer_fit(m, d, as.integer(k))), simplify = FALSE),
      clmm = sapply(as.character(m$nagq), function(k) quiet(clmm_fit(m, d, as.integer(k))), simplify = FALSE),
      glmmTMB = quiet(tmb_fit(m, d)))
  }
  packages <- c("lme4", "ordinal", "glmmTMB", "mlmRev", "jsonlite")
  out <- list(
    script_md5 = unname(tools::md5sum(script)), table = m$table, formula = m$formula,
    family = m$family, link = m$link, trials = m$trials,
    versions = c(list(R = R.version.string),
                 sapply(packages, function(p) as.character(packageVersion(p)), simplify = FALSE),
                 list(platform = R.version$platform, blas = basename(extSoftVersion()[["BLAS"]]))),
    date = format(Sys.Date()), fits = fits
  )
  text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
  writeLines(text, file.path(home, "output", paste0(m$key, ".json")))
  cat(m$key, "\n")
}

wanted <- commandArgs(TRUE)
for (m in models) if (!length(wanted) || startsWith(m$key, wanted[1])) fit_one(m)
