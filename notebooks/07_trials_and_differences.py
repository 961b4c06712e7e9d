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
# # Trials and differences: induction of new teachers, and a programme that schools choose
#
# Two kinds of evidence on what helps teachers. In the federal trial of *comprehensive induction*,
# whole schools were assigned by lot, and three reports said: nothing after one year, nothing in the
# districts with two years of support, then something in the third year. Iowa's *Authentic
# Intellectual Work* was taken up by schools that wanted it: the state reported higher scores, a
# later study found none. This notebook goes from the files to tables of the shape that these
# reports print.
#
# The files are simulated from the entries of teamlink's registry, since the studies' own data are
# not public. They have the published sizes and effects where these were seen; the rest is assumed,
# and each entry says which is which.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import pandas as pd
from scipy.stats import norm

import teamlink as tl

files = tl.simulate_study("glazerman-2010", seed=4)
for name, frame in files.items():
    print(f"{name}: {len(frame):,} rows")
    print(frame.head(3).to_string(index=False), end="\n\n")

# %% [markdown]
# ## Were the groups alike before?
#
# All teachers of 418 schools take part, but scores exist in the tested classes of seven districts.
# Pupils who came late have no pretest, those who left have no score: the analysis keeps pupils with
# both. `baseline` compares them before treatment; with assignment by lot, differences are chance,
# but with 55 schools chance is not small.

# %%
pupils = files.students.merge(files.schools, on="school").merge(
    files.teachers[["teacher", "grade"]], on="teacher"
)
analysed = pupils.dropna(subset=["prior", "reading"])
print(f"{len(pupils) - len(analysed)} of {len(pupils):,} pupils lack a pretest or a score")
tl.baseline(analysed, "treated", ["prior", "frl"], cluster="school")[
    ["covariate", "mean_treated", "mean_comparison", "effect_size", "p_value", "equivalence"]
].round(3)

# %% [markdown]
# ## The effect on scores, three times
#
# `cluster_trial` fits the mixed model, with districts as blocks, and gives the effect in SD of
# pupils with the design's own yardsticks: the intraclass correlation, the design effect, and the
# smallest effect that the trial would have found with a power of 0.8. The same for the first-year
# sample and for the second report's.

# %%
reports = {"first year": "glazerman-2008", "two-year districts": "glazerman-2009"}
samples = {name: tl.simulate_study(key, seed=5) for name, key in reports.items()}
samples["third year"] = files

rows = []
for report, tables in samples.items():
    frame = tables.students.merge(tables.schools, on="school").merge(
        tables.teachers[["teacher", "grade"]], on="teacher"
    )
    for outcome in ("reading", "math"):
        used = frame.dropna(subset=["prior", outcome])
        trial = tl.cluster_trial(
            used, outcome, "treated", "school", block="district",
            covariates=["prior", "frl", "grade"], method="satterthwaite",
        )  # fmt: skip
        rows.append({"report": report, "outcome": outcome} | trial.effects.iloc[0].to_dict())
table = pd.DataFrame(rows)
published = [0.01, -0.05, 0.06, -0.11, 0.11, 0.20]
shown = table[["report", "outcome", "estimate", "std_error", "p_value", "students", "clusters"]]
shown.assign(published=published).round(3)

# %% [markdown]
# One simulated trial each, so estimates scatter about the values behind them: zero in the first two
# reports, 0.11 and 0.20 in the third. What the trials could see at all is the more instructive
# table. A null of the second report, with an estimate that may be off by 0.2, does not contradict
# an effect of 0.11 a year later.

# %%
table[["report", "outcome", "icc", "design_effect", "mdes", "improvement_index"]].round(3)

# %% [markdown]
# An improvement index says by how many percentile points the average pupil would rise. The
# published third-year effects are those of a pupil who rises from the 50th to the 54th and 58th:

# %%
print([round(100 * norm.cdf(g)) for g in (0.11, 0.20)])

# %% [markdown]
# ## Do more teachers stay?
#
# The report has 94.7 against 94.5 per cent. Shares of all 882 teachers, with the schools as
# clusters:

# %%
teachers = files.teachers.merge(files.schools, on="school")
teachers.groupby("treated")["retained"].agg(["mean", "size"]).round(3)

# %%
stay = tl.baseline(teachers, "treated", "retained", cluster="school")
stay[["mean_treated", "mean_comparison", "difference", "p_value"]].round(3)

# %% [markdown]
# ## A programme that schools choose
#
# Iowa: 320 schools, 106 of which take the programme up between 2007 and 2011. First the comparison
# of the last year, at the same poverty, as a state report makes it.

# %%
iowa = tl.simulate_study("iowa-2012", seed=2)
panel = iowa.panel.merge(iowa.schools, on="school")
latest = panel[panel["year"] == 2011].dropna(subset=["math"])
subjects = ["reading", "math", "science", "social"]
tl.baseline(latest, "adopted", subjects)[
    ["covariate", "mean_treated", "mean_comparison", "difference", "p_value"]
].round(3)

# %% [markdown]
# Schools with the programme score higher in all four subjects. They did so before any of them had
# it:

# %%
first = panel[panel["year"] == 2006].dropna(subset=["math"])
tl.baseline(first, "adopted", subjects)[["covariate", "difference", "p_value"]].round(3)

# %% [markdown]
# So compare changes. `did` gives each cohort of adopters an effect in each year, against schools
# that have not adopted yet, and averages them; schools count by their pupils.

# %%
scored = panel.dropna(subset=subjects)
found = [
    {"outcome": outcome}
    | tl.did(
        scored, outcome, "school", "year", first_treated="first_year", weights="n_students"
    ).overall.to_dict()
    for outcome in ("reading", "math")
]
pd.DataFrame(found)[["outcome", "estimate", "std_error", "p_value", "conf_low", "conf_high"]].round(
    3
)

# %% [markdown]
# The advantage is gone: it was there all along. An event study shows the same year by year. Before
# adoption the schools' *trends* were alike, which is what makes the comparison of changes good, and
# which says nothing about their *levels*.

# %%
study = tl.event_study(
    scored, "math", "school", "year", first_treated="first_year", weights="n_students"
)
print(study.pretrend.round(2).to_dict())
study.plot()

# %% [markdown]
# In this world the programme does nothing to tests; schools that choose it are better by half an SD
# of a quality that is in no file. Both reports are right about what they compare.
#
# ## Matched schools, and work that pupils did
#
# The later study also scored pupils' work in 44 schools: adopters, and for each the most similar
# school without the programme. `match` finds such pairs from the first year's scores and poverty.

# %%
before = first.set_index("school")
matching = tl.match(before, "adopted", ["reading", "math", "poverty"])
matching.balance.round(2)

# %%
work = iowa.work.merge(iowa.schools, on="school")
fit = tl.lmm("authentic ~ adopted + prior + (1 | school)", work)
fit.tidy()[["term", "estimate", "std_error", "df", "p_value"]].round(3)

# %% [markdown]
# Better work, equal test scores: the population has an effect of 0.25 SD on work. Matching is
# enough here because what makes schools adopt shows in their earlier scores. It cannot be enough
# for something that shows nowhere but in the work.
#
# ## More hours of mentoring
#
# New York, no lot at all: do pupils learn more where a new teacher had more hours with a mentor?
# Weaker schools get more hours, so schools must be held equal.

# %%
city = tl.simulate_study("rockoff-2008", seed=4)
mentored = city.teachers.dropna(subset=["tens_of_hours"])
across = tl.lmm("math ~ between(tens_of_hours, school) + prior + (1 | school)", mentored)
inside = tl.lmm(
    "math ~ within(tens_of_hours, school) + between(tens_of_hours, school) + prior + (1 | school)",
    mentored,
)
pd.concat({"across schools": across.tidy(), "both": inside.tidy()})[
    ["term", "estimate", "std_error", "p_value"]
].round(3)

# %% [markdown]
# Within schools ten hours more go with 0.06 SD here (0.05 in the population); across schools the
# hours seem to do little. What the within-school slope still may hold is that better teachers ask
# for more of a mentor's time.
#
# ## All of it, again and again
#
# One draw is one draw. `replicate` runs a study many times, with controls in which the effect is
# absent or turned round, and says how often the published finding comes back.

# %%
runs = [tl.replicate(key, seed=1, replicates=20) for key in ("iowa-2012", "aiw-2025")]
pd.concat([run.claims for run in runs])[
    ["claim", "text", "true_value", "estimate", "power", "coverage", "verdict"]
].round(3)

# %%
fig, axis = plt.subplots(figsize=(7, 3), layout="constrained")
claims = pd.concat([run.claims for run in runs], ignore_index=True)
place = claims.index.to_numpy()[::-1]
axis.plot(claims["estimate"], place, "o", color="C0", label="mean estimate")
axis.plot(claims["true_value"], place, "|", color="0.2", markersize=14, label="true value")
axis.axvline(0, color="0.6", linewidth=1)
axis.set(yticks=place, xlabel="SD of pupils")
axis.set_yticklabels(claims["claim"])
axis.legend(frameon=False)
plt.show()
