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
# # Shares, correlations, ratios, pooled effects
#
# Much of what is said about teacher collaboration rests on small tables: 67 per cent of teachers
# expect this, strong schools are ten times as likely to do that, a factor of school culture
# correlates with scores, reviews pool d = 0.25. This notebook goes from the raw files to each of
# these tables, with the error that belongs to it, and asks what the table cannot say.
#
# The files are simulated from the entries of teamlink's registry, since the studies' own data are
# not public. They have the published sizes and values where these were seen; the rest is assumed,
# and each entry says which is which.

# %%
# %matplotlib inline
import numpy as np
import pandas as pd

import teamlink as tl

# %% [markdown]
# ## A poll: what two thirds of teachers think
#
# The MetLife survey of 2009 reached 1,003 teachers and 500 principals by telephone. Some kinds of
# schools are reached better than others, so every respondent has a weight; some do not answer.

# %%
poll = tl.simulate_study("metlife-2009", seed=4).respondents
poll.head(4)

# %% [markdown]
# A weighted share is a ratio of two sums, and its standard error comes from the ratio's linear
# part: respondent $i$ contributes $w_i (y_i - \hat p) / \sum w$.


# %%
def weighted(rows: pd.DataFrame, yes: pd.Series, weight: bool = True) -> dict[str, float]:
    """Per cent who say yes, of those who answered, with the 95 % margin."""
    w = rows["weight"] if weight else pd.Series(1.0, rows.index)
    p = (w * yes).sum() / w.sum()
    u = w * (yes - p) / w.sum()
    n = len(rows)
    return {"%": 100 * p, "margin": 196 * np.sqrt(n / (n - 1) * (u**2).sum()), "n": n}


asked = {
    "teachers: above 3 hours a week": ("hours", "teacher", lambda y: y > 3, 24),
    "colleagues contribute, strongly": ("contribute", "teacher", lambda y: y == 4, 51),
    "colleagues contribute, in all": ("contribute", "teacher", lambda y: y >= 3, 90),
    "own job well done is enough": ("enough", "teacher", lambda y: y == 1, 43),
    "teachers: major impact": ("impact", "teacher", lambda y: y == 1, 67),
    "principals: major impact": ("impact", "principal", lambda y: y == 1, 78),
}
table = {}
for text, (item, role, yes, published) in asked.items():
    rows = poll[(poll["role"] == role) & poll[item].notna()]
    plain = weighted(rows, yes(rows[item]), weight=False)["%"]
    table[text] = weighted(rows, yes(rows[item])) | {
        "unweighted %": plain,
        "published %": published,
    }
pd.DataFrame(table).T.round(1)

# %% [markdown]
# The margin is about three points for a thousand teachers, four for five hundred principals.
# Without weights the shares lean towards the schools that are easy to reach.
#
# Whether colleagues trust each other was asked in the same interview as how much they collaborate.

# %%
teachers = poll[(poll["role"] == "teacher") & poll["trust"].notna()]
pd.DataFrame(
    {
        f"{name} collaborative schools": weighted(rows, rows["trust"])
        for name, rows in teachers.groupby("collaboration")
    }
).T.round(1)

# %% [markdown]
# The published shares are 69 and 42 per cent. A difference between people's answers to two
# questions may be one of schools or one of moods; the poll cannot tell.
#
# ## Ten times as likely
#
# The Chicago study followed some 400 schools. Teachers' answers say how strong a school is on five
# supports; six years of results say whether it improved.

# %%
chicago = tl.simulate_study("bryk-2010", seed=1)
supports = ["leadership", "ties", "capacity", "climate", "guidance"]
schools = pd.DataFrame(index=chicago.schools["school"])
for name in supports:
    answers = chicago.teachers[[f"{name}{i}" for i in (1, 2, 3)]].mean(axis=1)
    schools[name] = answers.groupby(chicago.teachers["school"]).mean()
wide = chicago.results.pivot_table(index="school", columns="year", values="score")
schools["trend"] = np.polyfit(wide.columns, wide.to_numpy().T, 1)[0]

top, bottom = schools.quantile(0.75), schools.quantile(0.25)
schools["improved"] = schools["trend"] > top["trend"]
strong = (schools[supports] > top[supports]).sum(axis=1) >= 3
weak = (schools[supports] < bottom[supports]).sum(axis=1) >= 3
counts = pd.DataFrame(
    {
        "schools": [strong.sum(), weak.sum()],
        "improved": [schools.loc[g, "improved"].sum() for g in (strong, weak)],
    },
    index=["strong on most", "weak on most"],
)
counts["%"] = (100 * counts["improved"] / counts["schools"]).round(1)
counts

# %%
(x1, x0), (n1, n0) = counts["improved"], counts["schools"]
pooled = tl.effect_sizes("log_risk_ratio", events1=x1, n1=n1, events2=x0, n2=n0)
log_ratio, se = pooled["effect"][0], np.sqrt(pooled["variance"][0])
odds = (x1 / (n1 - x1)) / (x0 / (n0 - x0))
low, high = np.exp(log_ratio + 1.96 * se * np.array([-1, 1]))
print(
    f"ratio of proportions {np.exp(log_ratio):.1f} [{low:.1f}, {high:.1f}]; odds ratio {odds:.1f}"
)

# %% [markdown]
# "Ten times as likely" is a ratio of proportions. The odds ratio of the same table is much larger;
# who reads one for the other overstates the difference. And the interval is wide: a handful of
# weak schools that improved decides on the denominator.
#
# ## Six correlations, and the same again four years later
#
# Gruenert correlated six factors of school culture with achievement over 81 Indiana schools. A
# dissertation went back four years later, named two factors as significant, and was silent on
# teacher collaboration.


# %%
def correlations(key: str, seed: int) -> pd.Series:
    """Correlations of the six factors with the mean of both tests, over schools."""
    files = tl.simulate_study(key, seed=seed)
    factors = ["leadership", "collaboration", "development", "support", "purpose", "partnership"]
    means = pd.DataFrame()
    for name in factors:
        answers = files.teachers[[f"{name}{i}" for i in (1, 2, 3)]].mean(axis=1)
        means[name] = answers.groupby(files.teachers["school"]).mean()
    results = files.schools.set_index("school")[["math", "language"]].mean(axis=1)
    n = len(means)
    shown = means.corrwith(results).map("{:.2f}".format)
    return shown.where(means.corrwith(results).abs() < 2 / np.sqrt(n), shown + " *")


pd.DataFrame(
    {
        "2003, 81 schools": correlations("gruenert-2005", seed=5),
        "2006, schools that answered": correlations("indiana-2007", seed=5),
    }
)

# %% [markdown]
# Stars are worth little without the power behind them. What could 81 or 100 schools have found?

# %%
rows = []
for n in (81, 100):
    found = tl.power("correlation", n=n)
    half = tl.power("correlation", n=n, effect=0.2)
    rows.append(
        {"schools": n, "found in 80 %": found.minimum_detectable, "power at 0.2": half.power}
    )
pd.DataFrame(rows).round(2)

# %% [markdown]
# A correlation of 0.2 is missed about every second time. That the later study did not find one for
# collaboration is no evidence that there is none, and no contradiction to a small one before.
#
# ## Professional community: facets, teachers, schools
#
# Bryk, Camburn and Louis measured three facets of community on 5,690 teachers of 248 schools.
# Facets of a teacher are level 1, teachers level 2, schools level 3.

# %%
files = tl.simulate_study("bryk-1999", seed=2)
climate = files.schools.set_index("school")
for name in ("leadership", "trust"):
    answers = files.teachers[[f"{name}{i}" for i in (1, 2, 3)]].mean(axis=1)
    mean = answers.groupby(files.teachers["school"]).mean()
    climate[name] = (mean - mean.mean()) / mean.std()
measures = files.measures.join(climate, on="school")

empty = tl.lmm("score ~ 1 + (1 | school/teacher)", measures)
full = tl.lmm("score ~ log(enrolment) + leadership + trust + (1 | school/teacher)", measures)
full.tidy()[["group", "term", "estimate", "std_error", "df", "p_value"]].round(3)

# %%
levels = ["teacher", "school", "measure (one facet)"]
pd.DataFrame(
    {
        name: fit.tidy().query("term.str.startswith('sd__')")["estimate"].to_numpy() ** 2
        for name, fit in (("empty", empty), ("full", full))
    },
    index=levels,
).round(3)

# %% [markdown]
# About a tenth of what a facet shows is the school; most is the measure itself and the teacher.
# Still, 23 teachers with three facets each tell schools apart well enough to see that small
# schools, inclusive principals and trust go with community. All but enrolment comes from the same
# teachers in the same questionnaire.
#
# ## Pooling studies
#
# A review turns what studies print into one scale. Some print means of two groups of schools,
# others a correlation.

# %%
studies = tl.simulate_study("lomos-2011", seed=2).studies
compared = studies["design"] == "groups"
g = tl.effect_sizes(
    "g", **{c: studies.loc[compared, c] for c in ("mean1", "sd1", "n1", "mean2", "sd2", "n2")}
)
z = tl.effect_sizes("z", r=studies.loc[~compared, "r"], n=studies.loc[~compared, "n"])
# 2 r / sqrt(1 - r^2), the difference that goes with a correlation, is 2 sinh(z)
d = pd.DataFrame(
    {
        "effect": 2 * np.sinh(z["effect"]),
        "variance": 4 * np.cosh(z["effect"]) ** 2 * z["variance"],
    }
)
effects = pd.concat([d, g], ignore_index=True)
effects["study"] = [f"study {i}" for i in studies["study"]]
effects["design"] = studies["design"]

pooled = tl.meta("effect", "variance", study="study", data=effects)
print(pooled.summary())

# %%
pooled.plot()

# %% [markdown]
# The diamond is the mean over a population of studies; the grey line is where the effect of one
# more study would lie. The first says what is true on average, the second what to expect in the
# next place. Does the design of a study make a difference, and does any single study carry the
# result?

# %%
design = tl.meta("effect", "variance", study="study", data=effects, moderators="design")
design.tidy()[["term", "estimate", "std_error", "df", "p_value"]].round(3)

# %%
pooled.leave_one_out().describe().loc[["min", "max"], ["estimate", "p_value"]].round(3)

# %% [markdown]
# None of the pooled studies assigned schools to be communities. Pooling makes an association more
# precise; it does not turn it into an effect.
#
# ## Do the published directions come back?
#
# One simulated file is one draw. `replicate` draws many, runs the same analyses, and holds every
# claim against two controls: a world without the effect, and one with its sign turned.

# %%
keys = ("lomos-2011", "indiana-2007", "metlife-2009")
again = pd.concat([tl.replicate(key, seed=1, replicates=40).claims for key in keys])
shown = ["claim", "published", "magnitude", "estimate", "power", "coverage", "verdict"]
again.set_index("study")[shown].round(2)

# %% [markdown]
# ## In plain language
#
# - A poll says what people say. Weights and margins are part of the number.
# - "Ten times as likely" needs its denominator: how many, of how many, and how sure.
# - A correlation over eighty schools is missed or found by luck unless it is above 0.3. Silence of
#   a small study is not a zero.
# - Several facets and many teachers make a school's community measurable, though any one answer
#   says little about the school.
# - Pooled evidence is as good as what is pooled.
#
# ## References
#
# - Bryk, Camburn, Louis (1999). Professional community in Chicago elementary schools. *Educational
#   Administration Quarterly* 35(5).
#   [doi:10.1177/0013161X99355004](https://doi.org/10.1177/0013161X99355004)
# - Bryk, Sebring, Allensworth, Luppescu, Easton (2010). *Organizing schools for improvement:
#   Lessons from Chicago*. University of Chicago Press.
# - Gruenert (2005). Correlations of collaborative school cultures with student achievement. *NASSP
#   Bulletin* 89(645).
# - Lomos, Hofman, Bosker (2011). Professional communities and student achievement: a
#   meta-analysis. *School Effectiveness and School Improvement* 22(2).
#   [doi:10.1080/09243453.2010.550467](https://doi.org/10.1080/09243453.2010.550467)
# - MetLife (2010). *The MetLife survey of the American teacher: Collaborating for student success*.
