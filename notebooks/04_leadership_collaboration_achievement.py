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
# # Leadership, collaboration, achievement: from survey items to an indirect effect
#
# Do principals raise achievement by the way their teachers work together? Teachers say how they
# are led and how they collaborate; pupils take a test. This notebook goes from the single answers
# to the indirect effect: are the items any good, do teachers of a school agree, how reliable is a
# school's mean, how large is the effect, how sure is it, and what would it take to make it vanish?
#
# The data are simulated, so that we know what is true and can see what each step gets right or
# wrong. There are 80 schools, with 6 to 14 teachers and 12 to 28 tested pupils each. In the
# population leadership acts on collaboration with 0.60 and collaboration on achievement with 2.2
# points for a standard deviation of schools, so the indirect effect is **1.32 points**; the direct
# effect is 0.6.

# %%
# %matplotlib inline
import warnings

import numpy as np
import pandas as pd

import teamlink as tl

rng = np.random.default_rng(2010)
SCHOOLS = 80
lead = rng.normal(size=SCHOOLS)
collab = 0.6 * lead + 0.8 * rng.normal(size=SCHOOLS)
status = rng.normal(scale=0.5, size=SCHOOLS)
level = 50 + 2.2 * collab + 0.6 * lead + 3 * status + rng.normal(scale=2.2, size=SCHOOLS)

school = np.repeat(np.arange(SCHOOLS), rng.integers(6, 15, SCHOOLS))
view = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=len(school))
teachers = pd.DataFrame({"school": school})
for stem, trait, own in (("lead", lead, view[:, 0]), ("collab", collab, view[:, 1])):
    for item, loading, ease in ((1, 1.0, 0.4), (2, 0.9, 0.2), (3, 1.1, 0.1)):
        local = rng.normal(scale=0.2, size=SCHOOLS)
        answer = 3.2 + ease + 0.75 * loading * (0.6 * trait[school] + 0.8 * own) + local[school]
        answer = np.round(answer + rng.normal(scale=0.7, size=len(school))).clip(1, 5)
        teachers[f"{stem}{item}"] = answer
teachers["collab2"] = 6 - teachers["collab2"]  # "I plan my lessons alone"

school = np.repeat(np.arange(SCHOOLS), rng.integers(12, 29, SCHOOLS))
ses = status[school] + rng.normal(scale=0.85, size=len(school))
score = level[school] + 3 * (ses - status[school]) + rng.normal(scale=8, size=len(school))
pupils = pd.DataFrame({"school": school, "ses": ses, "math": score.round(1)})

teachers.head(3)

# %% [markdown]
# ## Look at the items first
#
# Every answer lies between 1 and 5, and no school is missing. The correlations show that one item
# runs against its fellows: `collab2` is worded the other way round.

# %%
items = {name: [f"{name}{i}" for i in (1, 2, 3)] for name in ("lead", "collab")}
columns = [*items["lead"], *items["collab"]]
tl.validate(teachers, numeric=columns)
teachers[columns].agg(["min", "mean", "max", "std"]).round(2)

# %%
teachers[columns].corr().round(2)

# %% [markdown]
# ## Do the items make a scale, and the teachers a school?
#
# Two different questions. **Alpha** and **omega** ask whether the items of one teacher hang
# together. **ICC(1)** asks how much of one teacher's answer is the school, **ICC(2)** how reliable
# a school's mean is, and **rwg** whether colleagues agree.

# %%
scales = {
    name: tl.survey_scale(
        teachers,
        by="school",
        items=own,
        reverse=["collab2"] if name == "collab" else [],
        scale=(1, 5),
        name=name,
    )
    for name, own in items.items()
}
print(scales["collab"].summary())

# %%
turned = teachers.assign(collab2=6 - teachers["collab2"])
pd.DataFrame(
    {
        name: {
            "alpha": scale.alpha,
            "ICC(1)": scale.icc1,
            "ICC(2)": scale.icc2,
            "rwg(j)": scale.rwg,
        }
        for name, scale in scales.items()
    }
).round(2)

# %% [markdown]
# Alpha assumes equal loadings. Omega does not: it is made of the loadings of a one-factor model,
# and `:=` gives it a standard error. Answers of colleagues are not independent, so scores are
# summed over schools.

# %%
omega = tl.sem(
    """
    collab =~ l1*collab1 + l2*collab2 + l3*collab3
    collab1 ~~ e1*collab1
    collab2 ~~ e2*collab2
    collab3 ~~ e3*collab3
    omega := (l1 + l2 + l3)^2 / ((l1 + l2 + l3)^2 + e1 + e2 + e3)
    """,
    turned,
    cluster="school",
    std_lv=True,
)
omega.tidy().query("term == 'omega'")[["estimate", "std_error", "conf_low", "conf_high"]].round(3)

# %% [markdown]
# Three items are few, and about 0.7 is what three items give. Of one teacher's score about a
# quarter is the school; ten colleagues together make a mean with a reliability of nearly 0.8.
# That is usual for climate scales. It is also a warning: more than a fifth of the variance of
# the school scores is noise of asking these teachers and not others.
#
# ## Same meaning at both levels?
#
# A school mean is a picture of the school only if items mean the same for teachers and for
# schools: if loadings are equal across levels. The model with equal loadings is nested in the one
# with free ones.

# %%
levels = """
level: within
  lead_t   =~ lead1 + {a2}lead2 + {a3}lead3
  collab_t =~ collab1 + {b2}collab2 + {b3}collab3
level: between
  lead     =~ lead1 + {a2}lead2 + {a3}lead3
  collab   =~ collab1 + {b2}collab2 + {b3}collab3
"""
names = ("a2", "a3", "b2", "b3")
free = tl.sem(levels.format(**dict.fromkeys(names, "")), turned, cluster="school")
equal = tl.sem(levels.format(**{n: f"{n}*" for n in names}), turned, cluster="school")
table = tl.compare(equal, free).table.set_axis(["equal loadings", "free loadings"])
table[["npar", "llf", "aic", "chisq", "df", "p_value"]].round(3)

# %%
tl.path_diagram(equal)

# %% [markdown]
# Equal loadings fit as well. In the picture the school parts of the items (above, with round
# corners) are tied to the factors far more closely than the answers of single teachers (below):
# averaging removes what is private. Leadership and collaboration are related at both levels.
#
# ## The usual way: school means
#
# School means of both scales are joined to the pupils. Predictor and mediator belong to the
# school and the outcome to the pupil, hence the design "2-2-1". Status is taken account of at both
# levels.

# %%
data = pupils.copy()
for name, scale in scales.items():
    data[name] = data["school"].map(scale.scores[name])
means = tl.mediate(
    "2-2-1", x="lead", m="collab", y="math", data=data, cluster="school", covariates=["ses"]
)
print(means.equations)

# %%
means.summary()

# %% [markdown]
# The scale of the means is that of the answers. To compare with the truth, put them on the scale
# of the population, where a standard deviation of schools in leadership is worth
# 0.75 x 0.6 = 0.45 points of an answer.
#
# ### How sure is it?
#
# The sampling distribution of a product is skewed, so the symmetric interval is the worst choice.
# Draws from the joint distribution of the estimates (Monte Carlo) follow it; so does a bootstrap
# that draws whole schools, which does not even assume normality. A bootstrap that drew pupils
# would pretend that pupils of a school know nothing of each other.

# %%
boot = means.bootstrap(1000, seed=11)
rows = []
for method in ("delta", "monte-carlo", "percentile", "bca"):
    options = {"boot": boot} if method in ("percentile", "bca") else {}
    found = means.conf_int(method, **options)
    rows.append(found[found["effect"] == "indirect"])
intervals = pd.concat(rows)[["method", "estimate", "conf_low", "conf_high"]]
intervals.set_index("method").mul(0.45).round(2)

# %% [markdown]
# All four leave out zero, and all four hold the true 1.32. That the estimate is below it is not
# chance alone: noise in the school means of leadership dilutes the path to collaboration, and noise
# in the means of collaboration the path to achievement.
#
# ## Taking the noise out: a doubly latent model
#
# Collaboration is measured by several items (one source of error) and by a sample of teachers
# (another one). The doubly latent model has a factor behind the items at both levels, so it takes
# account of both. Teachers and pupils are different people, so they cannot stand in one row. They
# can stand in one table: teachers without test scores, pupils without answers, all in their
# schools. Full information uses both ([the page on missing
# data](../understand/missing-data.md)). The school's mean status is known of everybody.

# %%
status_of = pupils.groupby("school")["ses"].mean()
people = pd.concat([turned, pupils], ignore_index=True)
people["status"] = people["school"].map(status_of)
model = """
level: within
  lead_t   =~ lead1 + a2*lead2 + a3*lead3
  collab_t =~ collab1 + b2*collab2 + b3*collab3
  lead_t ~~ collab_t
  math ~~ math              # no row has answers and a score: no covariance to estimate
level: between
  lead     =~ lead1 + a2*lead2 + a3*lead3
  collab   =~ collab1 + b2*collab2 + b3*collab3
  lead   ~ status
  collab ~ a*lead + status
  math   ~ b*collab + c*lead + status
  indirect := a*b
  total    := indirect + c
"""
with warnings.catch_warnings():
    # The saturated model, which only the test of fit needs, is singular between 80 schools.
    warnings.simplefilter("ignore")
    latent = tl.sem(model, people, cluster="school", missing="fiml")
print(tl.effects_table(latent, "text"))

# %%
tl.path_diagram(
    latent,
    names={
        "lead": "leadership",
        "collab": "collaboration",
        "lead_t": "leadership\n(a teacher's view)",
        "collab_t": "collaboration\n(a teacher's view)",
        "math": "achievement",
    },
)

# %% [markdown]
# Both ways side by side, on the scale of the population. Intervals of the latent model are drawn
# from the joint distribution of its estimates.

# %%
draws = rng.multivariate_normal(
    latent.params[["a", "b"]], latent.cov_params().loc[["a", "b"], ["a", "b"]], size=50_000
)
low, high = np.quantile(draws.prod(axis=1), [0.025, 0.975])
table = means.conf_int("monte-carlo").query("effect == 'indirect'")
pd.DataFrame(
    {
        "indirect effect": [
            float(table["estimate"].iloc[0]),
            latent.params["indirect"],
            1.32 / 0.45,
        ],
        "low": [float(table["conf_low"].iloc[0]), low, np.nan],
        "high": [float(table["conf_high"].iloc[0]), high, np.nan],
    },
    index=["school means", "doubly latent", "population"],
).mul(0.45).round(2)

# %% [markdown]
# The latent estimate is larger and its interval wider. That is the bargain of correcting for
# unreliability: less bias, more variance. With fewer than about fifty schools, or an ICC(2) below
# a half, the latent model becomes unstable and the means may be the lesser evil.
#
# ## What could be wrong: an unmeasured confounder
#
# Leadership and collaboration were not assigned by lot. A committed community, say, could raise
# both collaboration and achievement. How strong would such a cause have to be?

# %%
sensitivity = means.sensitivity()
print(sensitivity.summary())

# %%
table = sensitivity.table.query("-0.05 < rho < 0.75")
table[["rho", "indirect", "conf_low", "conf_high"]].round(2)

# %% [markdown]
# `rho` is the correlation that the confounder makes between what is unexplained in collaboration
# and what is unexplained in achievement, both between schools. The table says where the indirect
# effect would stop being distinguishable from zero, and where it would be gone. Whether a cause of
# that strength is plausible is a question to people who know schools. No data of this kind can
# answer it.
#
# ## In plain language
#
# - The survey is good enough for schools: items fit, colleagues agree, and ten teachers make a
#   mean that is nearly four fifths signal.
# - Schools whose teachers feel well led collaborate more, and schools that collaborate more
#   achieve more, at the same status of pupils. Most of what goes with leadership goes through
#   collaboration.
# - The effect is not proved to be causal. A cause of both collaboration and achievement that is
#   missing here would have to be strong to explain all of it, but a moderate one would make it
#   uncertain.
# - School means understate the effect, because teachers' answers are noisy. The latent model
#   corrects that and is honest about the price.
#
# ## References
#
# - Goddard, Goddard, Kim, Miller (2015). A theoretical and empirical analysis of the roles of
#   instructional leadership, teacher collaboration, and collective efficacy beliefs in support of
#   student learning. *American Journal of Education* 121(4).
#   [doi:10.1086/681925](https://doi.org/10.1086/681925)
# - Lüdtke, Marsh, Robitzsch, Trautwein (2011). A 2 x 2 taxonomy of multilevel latent contextual
#   models. *Psychological Methods* 16(4).
#   [doi:10.1037/a0024376](https://doi.org/10.1037/a0024376)
# - Preacher, Zyphur, Zhang (2010). A general multilevel SEM framework for assessing multilevel
#   mediation. *Psychological Methods* 15(3).
#   [doi:10.1037/a0020141](https://doi.org/10.1037/a0020141)
