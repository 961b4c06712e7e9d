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
# # Pupils who change schools: nested, crossed, shared, cumulative
#
# Growth models put occasions in pupils and pupils in schools. Pupils who move break the second
# step: their scores belong to two schools. What happens if one looks away, and which model is
# right? Here the truth is known, because we make it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import teamlink as tl

# %% [markdown]
# ## A sample with known truth
#
# 400 pupils are tested in five years, in 40 schools. Half of them change school once. Pupils
# differ in status and in rate; schools differ with a standard deviation of 0.6. Let `u` be the
# effect of a school. Two worlds:
#
# - **acute**: a score carries the effect of the school attended in that year, and nothing of the
#   schools before;
# - **cumulative**: every year in a school leaves its effect for good. The effects of all years up
#   to the score add up. The standard deviation is 0.3 then, for one year's effect.

# %%
PUPILS, SCHOOLS, YEARS = 400, 40, 5
rng = np.random.default_rng(2013)
pupil = np.repeat(np.arange(PUPILS), YEARS)
year = np.tile(np.arange(YEARS), PUPILS)
first = rng.integers(0, SCHOOLS, PUPILS)
second = (first + rng.integers(1, SCHOOLS, PUPILS)) % SCHOOLS
moves = np.where(rng.random(PUPILS) < 0.5, rng.integers(1, YEARS, PUPILS), YEARS)
school = np.where(year < moves[pupil], first[pupil], second[pupil])
table = pd.DataFrame({"pupil": pupil, "year": year, "school": school, "entry": first[pupil]})

truth = {"acute": 0.6, "cumulative": 0.3}
WAYS = ["acute", "share", "cumulative"]
weights = {way: tl.cumulative_membership(table, "school", "pupil", "year", way) for way in WAYS}
table[table["pupil"] == np.flatnonzero(moves < YEARS)[0]]

# %% [markdown]
# The weights say how the schools of a pupil count in a score. Of this pupil, in both worlds and
# in a third, where a score carries the mean of the schools attended so far:

# %%
mover = table["pupil"] == np.flatnonzero(moves < YEARS)[0]
attended = sorted(table.loc[mover, "school"].unique())
pd.concat(
    {
        way: pd.DataFrame(
            weights[way].weights.toarray()[mover][:, attended], columns=attended, index=year[mover]
        )
        for way in WAYS
    },
    axis=1,
).round(2)

# %% [markdown]
# Scores: one data set to look at, and 100 more of each world to see what the models do on
# average.

# %%
REPLICATES = 100


def scores(world: str, count: int, seed: int) -> np.ndarray:
    """Scores (rows, count), each column with schools, pupils and errors of its own."""
    rng = np.random.default_rng(seed)
    u = truth[world] * rng.normal(size=(SCHOOLS, count))
    status, rate = rng.normal(size=(2, PUPILS, count)) * np.array([0.9, 0.3])[:, None, None]
    error = 0.5 * rng.normal(size=(len(table), count))
    growth = 2 + status[pupil] + year[:, None] * (1 + rate[pupil])
    return growth + weights[world].weights @ u + error


worlds = {world: scores(world, REPLICATES + 1, seed) for seed, world in enumerate(truth)}

# %%
one = table.assign(score=worlds["acute"][:, 0])
fig, panels = plt.subplots(1, 2, figsize=(8.5, 3.2), sharey=True, layout="constrained")
for panel, world in zip(panels, truth, strict=True):
    shown = table.assign(score=worlds[world][:, 0])
    for number, rows in shown[shown["pupil"] < 40].groupby("pupil"):
        colour = "C1" if moves[number] < YEARS else "0.75"
        panel.plot(rows["year"], rows["score"], color=colour, linewidth=0.9)
    panel.set(title=f"{world} world", xlabel="year", xticks=range(YEARS))
panels[0].set_ylabel("score (movers in colour)")
plt.show()

# %% [markdown]
# ## The verb refuses to guess
#
# Asked for pupils in schools, `growth_curve` finds the movers and wants to be told.

# %%
try:
    tl.growth_curve(one, "score", "year", "pupil", "school")
except tl.TeamlinkError as error:
    print(error)

# %%
curve = tl.growth_curve(
    one, "score", "year", "pupil", "school", movers="acute", group_random="intercept"
)
curve.summary()

# %% [markdown]
# All true values lie near: 0.6 for schools, 0.9 and 0.3 for pupils, 0.5 for the residual. The
# formula is that of two crossed factors. Nothing in it says "crossed": the structure is seen in the
# data. In the picture the lines of pupils who move have a step, where one school's effect gives way
# to another's.

# %%
print(curve.formula)
curve.plot(individuals=25, seed=3)

# %% [markdown]
# ## Five spellings
#
# Five ways in which such data are analysed. The first two force pupils into schools.
#
# 1. *Entry school*: each pupil belongs to the first school for good; schools differ in status and
#    in rate, as in the usual growth model of three levels.
# 2. *Nested by name*: `school/pupil`. A pupil who moves becomes two pupils.
# 3. *Acute*: pupils crossed with schools, the school of the year.
# 4. *Shared*: the mean of the schools so far, by weights that sum to one.
# 5. *Cumulative*: the sum over the years so far.
#
# Each model is fitted once, then `refit` sends all 100 other data sets of the same design through
# it in one call.

# %%
GROWTH = "score ~ year + (year | pupil)"
spellings = {
    "entry school": (f"{GROWTH} + (year | entry)", None),
    "nested by name": ("score ~ year + (year | school:pupil) + (1 | school)", None),
    "acute": (f"{GROWTH} + (1 | school)", None),
    "share": (f"{GROWTH} + (1 | school)", {"school": weights["share"]}),
    "cumulative": (f"{GROWTH} + (1 | school)", {"school": weights["cumulative"]}),
}


def school_variance(wide: pd.DataFrame, name: str, at: int) -> pd.Series:
    """Variance of scores in one year that a model says lies between schools."""
    if name == "entry school":
        status, rate = wide["sd__Intercept|entry"], wide["sd__year|entry"]
        both = wide["cor__Intercept.year|entry"].fillna(0) * status * rate
        return status**2 + 2 * at * both + at**2 * rate**2
    way = weights[name].weights if name in weights else weights["acute"].weights
    dose = way.power(2).sum(axis=1)[year == at].mean()
    return dose * wide["sd__Intercept|school"] ** 2


def all_fits(world: str) -> pd.DataFrame:
    """Variances and deviances: a row a spelling and replicate."""
    rows = []
    for name, (formula, memberships) in spellings.items():
        data = table.assign(score=worlds[world][:, 0])
        fit = tl.lmm(formula, data, memberships=memberships)
        found = tl.refit(fit, worlds[world][:, 1:], random=True)
        wide = found.pivot_table(index="replicate", columns="term", values="estimate")
        group = "|school:pupil" if name == "nested by name" else "|pupil"
        rate = f"sd__year{group}" if f"sd__year{group}" in wide else "sd__year"
        rows.append(
            pd.DataFrame(
                {
                    "spelling": name,
                    "year 0": school_variance(wide, name, 0),
                    "year 4": school_variance(wide, name, 4),
                    "pupils": wide[f"sd__Intercept{group}"] ** 2,
                    "rates": wide[rate] ** 2,
                    "residual": wide["sd__Observation"] ** 2,
                    "deviance": found.groupby("replicate")["deviance"].first(),
                }
            )
        )
    return pd.concat(rows)


results = {world: all_fits(world) for world in truth}


def report(world: str) -> pd.DataFrame:
    """The truth, mean estimates, and how often a spelling fits best."""
    table = results[world]
    best = table.loc[table.groupby(level=0)["deviance"].transform("min") == table["deviance"]]
    means = table.drop(columns="deviance").groupby("spelling", sort=False).mean()
    counts = best["spelling"].value_counts().reindex(means.index, fill_value=0)
    squares = weights[world].weights.power(2).sum(axis=1)
    true = [truth[world] ** 2 * squares[year == at].mean() for at in (0, 4)]
    made = pd.DataFrame([[*true, 0.81, 0.09, 0.25]], index=["TRUTH"], columns=means.columns)
    return pd.concat([made, means]).assign(best=counts).astype({"best": "Int64"}).round(3)


# %% [markdown]
# ### A world of acute effects
#
# `year 0` and `year 4` are the variance between schools in the scores of the first and of the last
# year; `best` counts the replicates in which a spelling has the lowest deviance.

# %%
report("acute")

# %% [markdown]
# The acute model gives back every variance, and fits best in every replicate.
#
# *Entry school* is right in the first year, when everybody is still there, and finds less than a
# third of the variance in the last: the pupils who left carry the effects of other schools, which
# it knows nothing of. It reads this as schools that lose their influence, and puts what it cannot
# place into rates and residuals, which come out too large.
#
# *Nested by name* does no harm to the variance of schools here. It harms the pupils: 205 of them
# stand twice among the groups, as two children who have nothing in common, and the fit is worse
# in each replicate. A pupil's own growth can no longer be followed through the move.
#
# *Share* and *cumulative* carry effects of earlier schools along that this world forgets.
#
# ### A world of cumulative effects
#
# %%
report("cumulative")

# %% [markdown]
# Effects that add up make differences of rates. In the last year schools account for 1.8 of the
# variance. The cumulative model finds that. *Acute*, *share* and *nested by name* find less than
# a tenth of it, and give the rest to the pupils: their rates seem to vary by
# 0.16 to 0.17, where the truth is 0.09. An analyst would report that schools hardly matter and that
# pupils simply differ in how fast they learn. *Entry school* has rates of schools and so finds
# most of it, but loses what pupils gained in their second school.

# %%
fig, panels = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
for panel, world in zip(panels, truth, strict=True):
    found = results[world]
    columns = [found.loc[found["spelling"] == name, "year 4"] for name in spellings]
    panel.boxplot(columns, orientation="horizontal", tick_labels=list(spellings), widths=0.6)
    panel.axvline(report(world).loc["TRUTH", "year 4"], color="#c2452d")
    panel.set(title=f"{world} world", xlabel="variance between schools in year 4", xlim=(0, None))
    panel.invert_yaxis()
panels[1].set_yticklabels([])
plt.show()

# %% [markdown]
# ## What to take home
#
# - Pupils who move cross the factors. Write `(... | pupil) + (... | school)`, never `school/pupil`,
#   and never the first school for all years.
# - How earlier schools count is a question of substance, and the models answer it differently. They
#   have equally many parameters, so their deviances, AIC and BIC compare at once. In these data,
#   where half of the pupils move, the right one always won. Without movers *acute* and *share* are
#   the same model, and nothing can tell them apart.
# - A model that has no place for lasting effects of schools shows them as differences between
#   pupils.
#
# Here the effects of schools were drawn at random, and moves had nothing to do with them. Where
# families leave schools because these are bad, no weighting mends that.
#
# ## References
#
# Browne, W. J., Goldstein, H., & Rasbash, J. (2001). Multiple membership multiple classification
# (MMMC) models. *Statistical Modelling*, 1(2).
# [doi:10.1177/1471082X0100100202](https://doi.org/10.1177/1471082X0100100202)
#
# Raudenbush, S. W., & Bryk, A. S. (2002). *Hierarchical linear models: Applications and data
# analysis methods* (2nd ed.), chapter 12. Sage.
