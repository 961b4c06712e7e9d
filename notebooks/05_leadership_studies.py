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
# # Leadership, collaboration, efficacy: two studies that contradict each other
#
# A paper of 2010 finds that principals who lead instruction have teachers who collaborate, and
# that collaboration goes with achievement. An article of 2015, by the same group about the same
# project, adds teachers' belief in what they can do together, collective efficacy, and finds no
# direct path from collaboration to achievement any more. Which of them is wrong?
#
# Neither. This notebook draws one population, takes the raw files through both analyses, and comes
# out with both tables. The numbers are simulated: the direction of each finding is published, its
# size is not known to us, and every population value says so.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import teamlink as tl
from teamlink.errors import DroppedRows

files = tl.simulate_study("goddard-2010", seed=9)
files

# %% [markdown]
# Two files, as a researcher has them: what each teacher answered, and a row for each school.

# %%
files.teachers.iloc[:5, :7]

# %%
files.schools.head().round(2)

# %% [markdown]
# ## From answers to scales
#
# Three scales, five questions each. Before they are used, it is asked whether teachers of a school
# agree enough for a mean to stand for the school. Who answered fewer than half of a scale's
# questions has no score on it; a warning counts them, and here it is one teacher or so of 1,600.

# %%
names = ["leadership", "collaboration", "efficacy"]
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DroppedRows)
    scales = {
        name: tl.survey_scale(
            files.teachers, by="school", items=[f"{name}{i}" for i in range(1, 6)], scale=(1, 6)
        )
        for name in names
    }
pd.DataFrame(
    {
        name: {"alpha": s.alpha, "ICC(1)": s.icc1, "ICC(2)": s.icc2, "rwg(j)": s.rwg}
        for name, s in scales.items()
    }
).T.round(2)

# %% [markdown]
# A fifth of the variance of answers and more lies between schools, and the means of some 17
# teachers have reliabilities, ICC(2), of 0.8 to 0.9. That is good for a survey, and it is not
# one: what the means miss will matter below.

# %%
schools = files.schools.assign(
    **{name: files.schools["school"].map(s.scores["score"]) for name, s in scales.items()}
)
schools[["prior", *names, "achievement"]].corr().round(2)

# %% [markdown]
# Collaboration and achievement are hardly correlated: schools with low scores collaborate more. The
# models below compare schools at the same prior achievement.
#
# ## The model of 2010
#
# Leadership acts on collaboration, collaboration on achievement, at the same prior achievement and
# the same poverty of the school.

# %%
first = tl.sem(
    """
    collaboration ~ a*leadership + prior + poverty
    achievement ~ b*collaboration + prior + poverty
    indirect := a*b
    """,
    schools,
)
labels = {"a": "collaboration <- leadership", "b": "achievement <- collaboration"}
labels |= {"indirect": "leadership, through collaboration"}
columns = ["estimate", "std_error", "p_value"]


def table(fit, labels: dict[str, str]) -> pd.DataFrame:
    """The rows that a paper would print."""
    found = fit.tidy().set_index("term").loc[list(labels), columns]
    return found.rename(index=labels).round(3)


table(first, labels)

# %% [markdown]
# All three findings of the paper are there: both paths and the product.
#
# ## The model of 2015
#
# The same schools and the same answers, with efficacy between the others and achievement.

# %%
second = tl.sem(
    """
    collaboration ~ a*leadership + prior + poverty
    efficacy ~ b1*leadership + b2*collaboration + prior + poverty
    achievement ~ c*efficacy + d1*leadership + d2*collaboration + prior + poverty
    from_collaboration := b2*c
    from_leadership := b1*c + a*b2*c
    """,
    schools,
)
labels = {
    "a": "collaboration <- leadership",
    "b1": "efficacy <- leadership",
    "b2": "efficacy <- collaboration",
    "c": "achievement <- efficacy",
    "d1": "achievement <- leadership, direct",
    "d2": "achievement <- collaboration, direct",
    "from_leadership": "leadership, indirect",
    "from_collaboration": "collaboration, indirect",
}
table(second, labels)

# %% [markdown]
# The path that carried the paper of 2010 is not significant any more, and what goes through
# efficacy is. `mediate` asks the same question by name, and gives the intervals that products need:
# from draws, not symmetric.

# %%
mediated = tl.mediate(
    "single",
    x="collaboration",
    m="efficacy",
    y="achievement",
    data=schools,
    covariates=["leadership", "prior", "poverty"],
)
mediated.effects[["effect", "path", "estimate", "conf_low", "conf_high", "p"]].round(3)

# %% [markdown]
# ## One sample is one sample
#
# A single draw can show anything. Both studies are run again 40 times, with schools, teachers and
# answers drawn anew, and each with worlds in which the effects are gone or turned round.

# %%
again = {key: tl.replicate(key, seed=1, replicates=40) for key in ("goddard-2010", "goddard-2015")}
pd.concat([r.claims for r in again.values()])[
    ["claim", "published", "recovered", "share_recovered", "true_value", "estimate", "verdict"]
].round(2)

# %%
runs = pd.concat([r.runs for r in again.values()])
runs = runs[runs["scenario"] == "study"]
shown = {
    "G10b": "2010: collaboration, without efficacy",
    "G15d4": "2015: collaboration, with efficacy",
    "G15c": "2015: efficacy",
}
fig, panel = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
values = [runs.loc[runs["claim"] == claim, "estimate"] for claim in shown]
panel.boxplot(values, orientation="horizontal", tick_labels=list(shown.values()), widths=0.6)
panel.axvline(0, color="0.6", linewidth=0.8)
panel.set(xlabel="path to achievement, SD of schools per point of the scale")
panel.invert_yaxis()
plt.show()

# %% [markdown]
# With efficacy in the model, collaboration's path lies near zero, though not exactly at it: the
# median is a little above. The survey measures efficacy with error, and what its scale misses is
# left to collaboration. With many more schools that trace would become significant, and somebody
# would publish a direct path.
#
# ## No mediation at all
#
# A third study, on the schools of PISA 2015 in the United States, finds leadership related to
# science, collaboration related to leadership, and no mediation by collaboration. The same
# population gives this too. Schools with low scores are asked to collaborate more; the two studies
# above compare schools at the same prior achievement, PISA tests once and cannot.

# %%
EQUATIONS = """
level: within
    achievement ~~ achievement
level: between
    collaboration ~ a*leadership + poverty{prior}
    achievement ~ b*collaboration + c*leadership + poverty{prior}
    indirect := a*b
"""
labels = {"a": "collaboration <- leadership", "c": "science <- leadership"}
labels |= {"indirect": "leadership, through collaboration"}


def students_of(pisa) -> pd.DataFrame:
    """Students with the scales of their schools."""
    both = pisa.schools
    for name in ("leadership", "collaboration"):
        answers = pisa.teachers[[f"{name}{i}" for i in range(1, 6)]].mean(axis=1)
        means = answers.groupby(pisa.teachers["school"]).mean()
        both = both.assign(**{name: both["school"].map(means)})
    return pisa.students.merge(both, on="school")


pisa = tl.simulate_study("pisa-2015", seed=5)
once = tl.sem(EQUATIONS.format(prior=""), students_of(pisa), cluster="school")
table(once, labels)

# %% [markdown]
# The simulation knows what PISA does not: the schools' prior achievement. Twenty draws, each
# analysed without it and with it:

# %%
rows = []
for seed in range(1, 21):
    students = students_of(tl.simulate_study("pisa-2015", seed=seed))
    for said, prior in (("without prior", ""), ("with prior", " + prior")):
        fit = tl.sem(EQUATIONS.format(prior=prior), students, cluster="school")
        found = table(fit, labels)["estimate"]
        rows.append({"model": said, **found})
pd.DataFrame(rows).groupby("model", sort=False).agg(["mean", "std"]).round(3)

# %% [markdown]
# Without prior achievement the indirect effect is nothing on average; with it, it is positive, and
# part of what looked like leadership's own path is gone. Nothing in the
# files of PISA could tell. (That schools with low scores collaborate more is our assumption; it is
# one way to have all three findings, not a finding.)
#
# ## Small studies
#
# How many schools does a chain need? For each study of this family: how often the published
# direction is found at the published size, and how much too large an estimate is on average where
# it is significant. Thirty replicates give the share to within about 0.09.

# %%
rows = []
for key in ("rubinstein-2016", "moolenaar-2012", "leana-2006"):
    found = tl.replicate(key, seed=1, replicates=30)
    own = found.runs[found.runs["scenario"] == "study"]
    for claim in found.claims.itertuples():
        if claim.published == "null":
            continue
        each = own[own["claim"] == claim.claim]
        significant = each[each["p_value"] < 0.05]
        rows.append(
            {
                "study": key,
                "schools": int(found.study.values["schools"]),
                "claim": claim.claim,
                "found": len(significant) / len(each),
                "exaggeration": np.mean(significant["estimate"] / significant["true_value"]),
            }
        )
pd.DataFrame(rows).round(2)

# %% [markdown]
# With 27 schools the effects had to be assumed very strong to be found this often, and where the
# mediation is significant, its estimate is too large by a quarter or so. What is assumed there is
# not evidence that partnerships work so well; it is what the study would have needed.
#
# ## What to take home
#
# - A path is direct only with respect to a model. Two models of one population may both be right.
# - A null path after a mediator is entered is no proof that nothing else is there: it depends on
#   how well the mediator is measured, and on the number of schools.
# - A missing confounder can hide a mediation as well as feign one.
#
# ## References
#
# Goddard, R., Goddard, Y., Kim, E. S., & Miller, R. (2015). A theoretical and empirical analysis of
# the roles of instructional leadership, teacher collaboration, and collective efficacy beliefs in
# support of student learning. *American Journal of Education*, 121(4), 501-530.
# [doi:10.1086/681925](https://doi.org/10.1086/681925)
#
# Goddard, Y. L., Miller, R., Larsen, R., Goddard, R. D., Madsen, J., & Schroeder, P. (2010).
# *Connecting principal leadership, teacher collaboration, and student achievement*. Paper presented
# at the Annual Meeting of the American Educational Research Association.
# [ERIC ED528704](https://eric.ed.gov/?id=ED528704)
#
# Wu, H., Shen, J., Zhang, Y., & Zheng, Y. (2020). Examining the effect of principal leadership on
# student science achievement. *International Journal of Science Education*, 42(6), 1017-1039.
# [doi:10.1080/09500693.2020.1747664](https://doi.org/10.1080/09500693.2020.1747664)
