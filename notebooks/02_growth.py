# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Growth in mathematics, from the null curve to what a district can say
#
# How fast do children learn mathematics in primary school? Do they differ in that, do schools,
# and is growth slower where more families are poor? The data are those of the textbook chapter on
# growth (Raudenbush & Bryk 2002, chapter 8): scores of children who were tested once a year.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import teamlink as tl

pupils = tl.datasets.load("egsingle")
pupils[["schoolid", "childid", "year", "math", "black", "hispanic", "lowinc"]].head(6)

# %% [markdown]
# ## Look first
#
# 1,721 children in 60 schools have two to six scores each. `year` is counted from the middle of
# the study: nearly all children are in kindergarten at -1.5, in first grade at -0.5, and in fourth
# grade at 2.5. The scale is that of an item response model, so a step of one means the same
# everywhere on it.

# %%
tl.validate(
    pupils,
    numeric=["math", "year"],
    nested=[("childid", "schoolid")],
    unique=["childid", "year"],
)
pupils.groupby("year")["math"].agg(["size", "mean", "std"]).round(2)

# %% [markdown]
# The mean rises from year to year, faster at first: by 1.3, 1.0 and 0.7 in the first three
# steps, by 0.6 and 0.8 in the last two. The spread of the scores widens as well. Different
# children stand behind the first and the last mean, which is one reason for a model.
#
# ## The null growth curve
#
# Each child has a line of its own, with an intercept (the status in the middle of the study) and
# a rate. The model says what these are on average and how they vary.

# %%
null = tl.growth_curve(pupils, "math", "year", "childid")
null.summary()

# %% [markdown]
# Children gain 0.75 a year on average. A child one standard deviation above the mean in its rate
# gains 0.15 more. Status and rate go together: the correlation is 0.50 in the middle of the
# study. That number belongs to the origin of time. The last table shows that it is 0.11 at
# the start and 0.72 at the end, as it must be when children who gain more move ahead.
#
# The reliability of the rates is 0.30: two to six scores tell little of one child's rate. They
# tell enough of how rates vary over 1,721 children.

# %% [markdown]
# ## Children in schools
#
# Part of these differences lies between schools. Random coefficients are chosen at each level by
# themselves; here both coefficients vary over children and over schools. The curve is a mixed
# model, and says which:

# %%
schools = tl.growth_curve(pupils, "math", "year", "childid", "schoolid")
print(schools.formula)
schools.tidy()[["group", "meaning", "estimate"]].round(3)

# %% [markdown]
# Half of the variance in *rates* lies between schools: the two standard deviations are the same,
# 0.106. Of the variance in *status* it is a fifth. Schools account for far more of how fast
# children learn than of where these stand in the middle of the study. The variance of the
# scores, level by level, as growth implies it:

# %%
variance = schools.expected_variance()
fig, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
groups = ["Residual", "childid", "schoolid"]
stack = [variance.loc[variance["group"] == group, "variance"] for group in groups]
years = variance["year"].unique()
axis.stackplot(
    years,
    stack,
    labels=["occasions", "children", "schools"],
    alpha=0.85,
    colors=["0.85", "#7fb0c2", "#0b6e8f"],
)
axis.set(xlabel="year", ylabel="variance of the score", xlim=(-2.5, 2.5))
axis.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# ## Which shape?
#
# The means bend, so a line is too simple. Candidates: a parabola, a cubic, and two lines that
# meet at -0.5, in first grade. They differ in their fixed parts, hence maximum likelihood.

# %%
common = {"random": ["intercept", "linear"], "group_random": ["intercept", "linear"]}
bent = {"random": ["intercept", "rate"], "group_random": ["intercept", "rate"]}
shapes = {
    "line": {},
    "parabola": {"shape": "quadratic", **common},
    "cubic": {"shape": "cubic", **common},
    "two pieces": {"shape": "piecewise", "knots": [-0.5], "coding": "increment", **bent},
}
fits = {
    name: tl.growth_curve(pupils, "math", "year", "childid", "schoolid", reml=False, **options)
    for name, options in shapes.items()
}
for name, curve in fits.items():
    print(f"{name:11} AIC {curve.fit.aic:9.1f}   {curve.fit.n_parameters:2d} parameters")

# %% [markdown]
# Two pieces have as many parameters as the parabola and fit better by a hundred units of AIC,
# better even than the cubic. They are easier to tell, too: one rate up to first grade, another from
# there. The knot was looked for in these data, so its place is a finding of this
# sample and not a test.

# %%
pieces = tl.growth_curve(
    pupils,
    "math",
    "year",
    "childid",
    "schoolid",
    shape="piecewise",
    knots=[-0.5],
    coding="increment",
    **bent,
)
table = pieces.tidy()
table[table["effect"] == "fixed"][["meaning", "estimate", "std_error", "conf_low", "conf_high"]]

# %% [markdown]
# The rate falls by a third. In the picture each thin line is a child drawn at random; the band is
# the 95 per cent interval of the mean.

# %%
pieces.plot(individuals=60, seed=4)

# %% [markdown]
# ## What predicts status and growth
#
# The textbook's model has the child's ethnic group at the child level and the share of low-income
# families at the school level, each for the status and for the rate. The origin is put at the
# last year, so the intercept is where children stand in the end.

# %%
both = ["black", "hispanic", "lowinc"]
full = tl.growth_curve(
    pupils,
    "math",
    "year",
    "childid",
    "schoolid",
    shape="piecewise",
    knots=[-0.5],
    coding="increment",
    origin="last",
    predictors={"intercept": both, "rate": both},
    **bent,
)
full.summary()

# %% [markdown]
# In a school with ten percentage points more low-income families children end 0.11 lower and
# gain 0.015 less a year. Children who are African American end about 0.6 lower than others in
# schools of the same poverty; the intervals of their difference in rate, and of both differences
# for Hispanic children, leave room for little or none.
#
# What is left between schools, against the curve without predictors:

# %%
last = tl.growth_curve(
    pupils,
    "math",
    "year",
    "childid",
    "schoolid",
    shape="piecewise",
    knots=[-0.5],
    coding="increment",
    origin="last",
    **bent,
)
left = full.reliability()["sd"] ** 2 / last.reliability()["sd"] ** 2
last.reliability()[["group", "coefficient", "sd"]].assign(explained=(1 - left).round(2)).round(3)

# %% [markdown]
# The predictors account for more than half of the variance between schools in final status and
# for three tenths of that in rates. They say almost nothing of why children in the same school
# differ.

# %%
full.plot("lowinc", individuals=40, seed=4)

# %% [markdown]
# The lines are schools at the first and third quartile of poverty. They start close together and
# part.
#
# ## Does the model hold?
#
# Four things were assumed: the shape, residuals with one variance, normal random effects, and
# that children who were tested less often do not differ in what they would have scored.

# %%
residuals = full.fit.resid.groupby(pupils["year"]).agg(["mean", "std"])
effects = full.fit.ranef()
fig, panels = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
panels[0].errorbar(residuals.index, residuals["mean"], yerr=residuals["std"], fmt="o", capsize=3)
panels[0].axhline(0, color="0.6", linewidth=1)
panels[0].set(title="residuals: mean and SD", xlabel="year")
for panel, group in zip(panels[1:], ["childid", "schoolid"], strict=True):
    rate = effects[group].iloc[:, 2].sort_values()
    normal = stats.norm.ppf((np.arange(len(rate)) + 0.5) / len(rate))
    panel.plot(normal, rate / rate.std(), ".", markersize=3)
    panel.axline((0, 0), slope=1, color="0.6", linewidth=1)
    panel.set(title=f"rates: {group}", xlabel="normal quantiles")
plt.show()
residuals.round(3)

# %% [markdown]
# - *Shape.* Mean residuals stay below 0.08, a tenth of a year's growth. The last two years still
#   alternate in sign: growth picks up at the end by more than two lines allow.
# - *One variance.* Residuals spread less in the last two years. A model with a variance for each
#   year would be the next step; what depends on it most are standard errors of single children.
# - *Normal effects.* The rates of children lie on the line, but for one child far ahead. Two
#   schools grow faster than sixty draws from a normal distribution would lead one to expect; they
#   would deserve a visit.
# - *Who is missing.* Nothing in the data can show it. Children left and entered the study. The
#   model is right if that depends on what is in it, such as their earlier scores.
#
# ## Are the tests to be trusted?
#
# With 60 schools, tests of school predictors rest on the school variances being known well. Kenward
# and Roger's method counts that they are not, and a parametric bootstrap checks both.

# %%
careful = tl.small_sample(full.fit, "kenward-roger")
wanted = [name for name in full.fit.params.index if "lowinc" in name]
boot = tl.bootstrap(full.fit, 100, seed=8)
drawn = boot.conf_int().set_index("term").loc[wanted]
found = careful.conf_int().loc[wanted].assign(df=careful.df[wanted])
found.assign(boot_low=drawn["conf_low"], boot_high=drawn["conf_high"]).round(4)

# %% [markdown]
# The intervals agree, and all of them leave out zero.
#
# ## What a district analyst can say
#
# 1. Children gain about one scale point a year up to first grade and 0.7 afterwards.
# 2. Schools matter for growth. Half of the variance in rates lies between schools, although the
#    study cannot say whether it is teaching, intake or neighbourhood.
# 3. Children in poorer schools end behind, and the gap widens by about 0.015 a year for every ten
#    percentage points of low-income families. Over the five years that is a tenth of a year's
#    growth.
# 4. One child's own rate is known badly (reliability below 0.4). It should not decide anything
#    about that child.
# 5. These are associations. A poor school that changed its intake would not by that alone teach
#    faster or slower.
#
# ## Reference
#
# Raudenbush, S. W., & Bryk, A. S. (2002). *Hierarchical linear models: Applications and data
# analysis methods* (2nd ed.). Sage.
