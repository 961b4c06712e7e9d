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
# # High School & Beyond, from the raw table to the caterpillar plot
#
# Do students with a better-off home score higher in mathematics, is that the home or the school
# they meet there, and does the answer differ between public and Catholic schools? These are the
# questions of the textbook example of hierarchical linear models (Raudenbush & Bryk 2002), and
# the data ship with teamlink.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import teamlink as tl

students = tl.datasets.load("hsb82")
students[["school", "sector", "size", "mathach", "ses", "female", "minority"]].head()

# %% [markdown]
# ## Look first
#
# 7,185 students sit in 160 schools. `validate` reports everything that is wrong with the columns
# that a model will need. It is silent here: nothing is missing, and every school has one sector.

# %%
tl.validate(students, numeric=["mathach", "ses"], groups="school", complete="sector")
sizes = students.groupby("school").size()
print(f"{len(students):,} students, {len(sizes)} schools of {sizes.min()} to {sizes.max()}")

# %% [markdown]
# A table of the schools: how many students, their mean score, their mean socio-economic status
# (SES), the share of girls.

# %%
schools = tl.aggregate(students, by="school", mean=["mathach", "ses"], share="female")
schools.describe().round(2)

# %% [markdown]
# Twelve schools drawn at random, each with its own least-squares line of the score on SES. The
# lines differ in height and, less clearly, in slope. Which of these differences are more than
# chance is what the model is for.

# %%
rng = np.random.default_rng(7)
drawn = rng.choice(sizes.index.to_numpy(), size=12, replace=False)
fig, panels = plt.subplots(3, 4, figsize=(8, 6), sharex=True, sharey=True)
for panel, school in zip(panels.flat, drawn, strict=True):
    rows = students[students["school"] == school]
    slope, intercept = np.polyfit(rows["ses"], rows["mathach"], 1)
    ends = np.array([rows["ses"].min(), rows["ses"].max()])
    panel.plot(rows["ses"], rows["mathach"], ".", color="0.6", markersize=4)
    panel.plot(ends, intercept + slope * ends, color="C0", linewidth=2)
    panel.set_title(f"{school} {rows['sector'].iloc[0]}", fontsize=9)
fig.supxlabel("socio-economic status of the student")
fig.supylabel("mathematics")
fig.tight_layout()
plt.show()
# %% [markdown]
# ## How much lies between schools?
#
# The null model splits the variance of the scores into a part between schools, $\tau_{00}$, and a
# part within, $\sigma^2$. The intraclass correlation is the first as a share of both.

# %%
null = tl.lmm("mathach ~ 1 + (1 | school)", students)
null.summary()

# %%
tl.icc(null)

# %% [markdown]
# About 18 per cent of the variance lies between schools. The school means are well determined,
# because most schools have more than forty students: Raudenbush and Bryk's reliability, averaged
# over schools, is 0.90.

# %%
tl.reliability(null)

# %% [markdown]
# ## The home, or the school?
#
# SES works in two places. A student whose home is better off than that of the classmates may
# learn more; a school with a better-off intake may teach all its students more. `within` and
# `between` split the variable into the two.

# %%
contextual = tl.lmm("mathach ~ within(ses, school) + between(ses, school) + (1 | school)", students)
contextual.tidy()[["term", "estimate", "std_error", "df", "conf_low", "conf_high"]].round(2)

# %% [markdown]
# Between schools the slope is more than twice that within schools. The difference is the
# *contextual effect*: what a student of given SES can expect to score more in a school whose mean
# SES is higher by one unit. Its standard error follows from the covariance of the two estimates.

# %%
within, between = contextual.params.index[1:3]
covariance = contextual.cov_params()
effect = contextual.params[between] - contextual.params[within]
variance = (
    covariance.loc[between, between]
    + covariance.loc[within, within]
    - 2 * covariance.loc[between, within]
)
print(f"contextual effect {effect:.2f}, standard error {np.sqrt(variance):.2f}")

# %% [markdown]
# ## Does the slope differ from school to school?
#
# Let the slope of SES vary, centred within schools so that the intercept stays the school's mean.

# %%
slopes = tl.lmm("mathach ~ within(ses, school) + (within(ses, school) | school)", students)
slopes.varcorr.round(3)

# %% [markdown]
# The slope varies with a standard deviation of about 0.8 around a mean of 2.2. A school's own
# slope is measured poorly, though. Its reliability is 0.26, where the intercept's is 0.91:
# forty-five students tell a lot about the mean of a school and little about its slope.

# %%
tl.reliability(slopes)

# %% [markdown]
# ## Intercepts and slopes as outcomes
#
# Now explain both by the school's mean SES and its sector: the model of Raudenbush and Bryk's
# fourth chapter.

# %%
formula = (
    "mathach ~ between(ses, school) * within(ses, school)"
    " + sector * within(ses, school) + (within(ses, school) | school)"
)
full = tl.lmm(formula, students)
full.summary()

# %% [markdown]
# Three findings, those of the textbook. Mean scores are higher where mean SES is higher, and in
# Catholic schools by 1.2 points beyond that. The slope of SES is smaller in Catholic schools by
# 1.6, which is more than half of it: the home matters less there. And with these two predictors
# hardly any variance of the slopes is left.
#
# The variance of the slope is close to zero, and the fit says whether it is at zero:

# %%
full.boundary, full.convergence.message

# %% [markdown]
# ## Was the sector needed?
#
# Models with different fixed parts are compared by maximum likelihood. The restricted likelihoods
# of two such models are not comparable, and `compare` refuses them.

# %%
try:
    tl.compare(slopes, full)
except tl.TeamlinkError as error:
    print(error)

# %%
smaller = tl.lmm(
    "mathach ~ between(ses, school) * within(ses, school) + (within(ses, school) | school)",
    students,
    reml=False,
)
larger = tl.lmm(formula, students, reml=False)
comparison = tl.compare(smaller, larger)
comparison.table.set_axis(["without the sector", "with the sector"]).round(2)

# %% [markdown]
# ## What is left of each school: the caterpillar plot
#
# The random effects are the empirical Bayes residuals of the schools: what a school has beyond
# what its mean SES and its sector predict, drawn towards zero the more, the fewer students there
# are. With 95 per cent intervals, in order:

# %%
residuals = full.ranef()["school"].sort_values("Intercept")
place = np.arange(len(residuals))
reach = 1.96 * residuals["Intercept_se"]
clear = (residuals["Intercept"].abs() > reach).to_numpy()

fig, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for chosen, colour, label in [(~clear, "0.65", "interval covers zero"), (clear, "C0", "does not")]:
    axis.errorbar(
        place[chosen],
        residuals["Intercept"][chosen],
        yerr=reach[chosen],
        fmt="o",
        markersize=3,
        linewidth=1,
        color=colour,
        label=label,
    )
axis.axhline(0, color="0.3", linewidth=1)
axis.set(xlabel="schools, in order", ylabel="points in mathematics", xticks=[])
axis.legend(frameon=False)
plt.show()
# %% [markdown]
# The intervals show each school's residual on its own. They are not made for comparing two
# schools, and a rank order of schools would be far less certain than the plot looks.
#
# ## How far the shrinkage goes
#
# Each school's own mean, less what the model predicts for it, against its empirical Bayes
# residual. On the diagonal line nothing would be drawn towards zero. The fewer students, the
# farther from the line, towards zero.

# %%
fixed = pd.Series(full.predict(level="population"), index=students.index)
raw = (students["mathach"] - fixed).groupby(students["school"]).mean()
both = pd.DataFrame({"raw": raw, "eb": full.ranef()["school"]["Intercept"], "n": sizes})

fig, axis = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
dots = axis.scatter(both["raw"], both["eb"], c=both["n"], s=14, cmap="viridis")
axis.axline((0, 0), slope=1, color="0.3", linewidth=1)
axis.set(xlabel="mean residual of the school", ylabel="empirical Bayes residual")
fig.colorbar(dots, label="students")
plt.show()

# %% [markdown]
# ## Reference
#
# Raudenbush, S. W., & Bryk, A. S. (2002). *Hierarchical linear models: Applications and data
# analysis methods* (2nd ed.). Sage.
