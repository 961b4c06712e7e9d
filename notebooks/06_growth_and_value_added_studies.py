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
# # Growth and value added: five studies from their files to their tables
#
# Five articles ask how fast pupils learn, or how much teachers improve, where teachers work
# together. Their data are not public. The registry of teamlink holds what is known of each study
# (design, sizes, claims) and what had to be assumed, and draws files like those that the authors
# had. Here we go from such files to a table of the published shape, with the same functions that
# one would use on data of one's own.
#
# The numbers below are those of simulated files. What they can show: whether a design of this size
# finds what the article reports. What they cannot show: that the article is right.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import teamlink as tl


def school_scale(teachers: pd.DataFrame, construct: str, by: str = "school") -> pd.Series:
    """Mean of teachers' answers in each school, in standard deviations of schools."""
    items = [name for name in teachers if name.startswith(construct)]
    mean = teachers[items].mean(axis=1).groupby(teachers[by]).mean()
    return (mean - mean.mean()) / mean.std()


def rows(fit: object, terms: dict[str, str], **labels: str) -> pd.DataFrame:
    """Some coefficients of a fit, with names for readers."""
    found = fit.tidy().set_index("term").loc[list(terms)]
    found = found[["estimate", "std_error", "p_value"]].rename(index=terms)
    return found.assign(**labels)


# %% [markdown]
# ## Bottia et al. (2016): nothing on average, and yet two groups differ
#
# About 1,900 Latino/a pupils were tested from kindergarten to grade 5. Four files: the scores, who
# the pupils are, what teachers answered, the schools.

# %%
files = tl.simulate_study("bottia-2016", seed=4)
print(files)
files.scores.head(6)

# %% [markdown]
# The analyst aggregates the survey, keeps the scores taken in the first school (so that occasions
# nest in pupils, and pupils in schools), and asks first over all pupils, then group by group.

# %%
items = [f"collaboration{i}" for i in range(1, 5)]
print(tl.survey_scale(files.teachers, by="school", items=items, min_items=1).summary())

# %%
data = files.scores.merge(files.students, on="student")
data["collaboration"] = data["school"].map(school_scale(files.teachers, "collaboration"))
stayed = data[data["moved"] == 0]

RANDOM = "(time | student) + (1 | school)"
TERM = {"time:collaboration": "collaboration x time"}
groups = {
    "all pupils": (stayed, "time * ses + time * immigrant + time * non_english"),
    "immigrants": (stayed[stayed["immigrant"] == 1], "time * ses + time * non_english"),
    "non-English home": (stayed[stayed["non_english"] == 1], "time * ses + time * immigrant"),
}
parts = []
for name, (rows_of, controls) in groups.items():
    fit = tl.lmm(f"math ~ time * collaboration + {controls} + {RANDOM}", rows_of)
    parts.append(rows(fit, TERM, pupils=name))
separate = pd.concat(parts).set_index("pupils", append=True).swaplevel()
separate.round(3)

# %% [markdown]
# One population gives all three. The interaction form keeps the groups apart, which overlap: a
# child may belong to both.

# %%
both = tl.lmm(
    "math ~ time * collaboration * immigrant + time * collaboration * non_english + time * ses"
    f" + {RANDOM}",
    stayed,
)
names = {
    "time:collaboration": "neither",
    "time:collaboration:immigrant": "more if immigrant",
    "time:collaboration:non_english": "more if non-English home",
}
rows(both, names).round(3)

# %% [markdown]
# The overall null is a balance of parts. Predicted gain from kindergarten to grade 5, for schools
# one standard deviation below and above the mean of collaboration:

# %%
b = both.params
years = 5.6
gain = pd.DataFrame(
    {
        f"collaboration {level:+d} SD": {
            label: years
            * (
                b["time"] + b["time:immigrant"] * i + b["time:non_english"] * n
                + level * (
                    b["time:collaboration"] + b["time:collaboration:immigrant"] * i
                    + b["time:collaboration:non_english"] * n
                )
            )
            for label, (i, n) in {
                "neither": (0, 0), "immigrant": (1, 0), "non-English home": (0, 1), "both": (1, 1)
            }.items()
        }
        for level in (-1, 1)
    }
)  # fmt: skip
gain.round(2)

# %% [markdown]
# ## Moller et al. (2013): pupils who change schools
#
# Here pupils are followed when they move, so that occasions are crossed by pupils and schools. The
# survey has two constructs, professional community and collaboration, which hardly go together.

# %%
files = tl.simulate_study("moller-2013", seed=2)
data = files.scores.merge(files.students, on="student")
for construct in ("community", "collaboration"):
    data[construct] = data["school"].map(school_scale(files.teachers, construct))
schools = data.groupby("student")["school"].nunique().value_counts().sort_index()
schools.rename_axis("schools attended").to_frame("pupils").T

# %%
crossed = tl.lmm(
    "math ~ time * community * black + time * community * ses + time * collaboration * black"
    " + time * collaboration * ses + (time | student) + (1 | school)",
    data,
)
names = {
    "time": "growth a year",
    "time:black": "gap of Black pupils, a year",
    "time:ses": "gap by status, a year",
    "time:community": "community",
    "time:collaboration": "collaboration",
    "time:community:black": "community x Black",
    "time:community:ses": "community x status",
    "time:collaboration:black": "collaboration x Black",
    "time:collaboration:ses": "collaboration x status",
}
order = crossed.params.index
by_parts = {frozenset(term.split(":")): term for term in order}
names = {by_parts[frozenset(term.split(":"))]: label for term, label in names.items()}
rows(crossed, names).round(3)

# %% [markdown]
# Both gaps widen over time, and widen less where a scale is high: positive signs for Black pupils,
# negative ones for status.
#
# ## Ronfeldt et al. (2015): teachers and their schools
#
# 336 schools and 9,000 teachers with the mean gains of their classes. A teacher's own answers,
# compared with colleagues, are the teacher level; the school's mean is the school level.

# %%
files = tl.simulate_study("ronfeldt-2015", seed=1)
classes = files.classes.merge(
    files.teachers.assign(own=files.teachers.filter(like="quality").mean(axis=1))[
        ["teacher", "own"]
    ],
    on="teacher",
)
classes["school_quality"] = classes["school"].map(school_scale(files.teachers, "quality"))
classes = classes.dropna(subset="own")
parts = []
for outcome in ("math", "reading"):
    fit = tl.lmm(
        f"{outcome} ~ within(own, school) + school_quality * scale(log(experience + 1)) + poverty"
        " + (1 | school)",
        classes,
    )
    names = {
        "within(own, school)": "teacher's own",
        "school_quality": "school",
        "school_quality:scale(log(experience + 1))": "school x experience",
    }
    parts.append(rows(fit, names, gains=outcome))
pd.concat(parts).set_index("gains", append=True).swaplevel().round(4)

# %% [markdown]
# ## Kraft and Papay (2014): returns to experience
#
# About 3,200 teachers over years. Do teachers gain more by experience in schools with better
# professional environments? `returns_to_experience` compares the 25th and the 75th percentile.

# %%
files = tl.simulate_study("kraft-2014", seed=3)
classes = files.classes
classes["environment"] = classes["school"].map(school_scale(files.teachers, "environment"))
returns = tl.returns_to_experience(
    classes,
    "math",
    "teacher",
    "experience",
    "environment",
    gain=True,
    covariates="poverty",
    interaction="full",
)
returns.summary()

# %%
line = returns.returns(np.arange(1, 11))
fig, panel = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (_, part), label in zip(line.groupby("context"), ("P25", "P75"), strict=True):
    panel.plot(part["experience"], part["gain"], label=f"environment at {label}")
    panel.fill_between(part["experience"], part["conf_low"], part["conf_high"], alpha=0.2)
panel.set(xlabel="years of experience", ylabel="gain since entry, pupil SD")
panel.legend(frameon=False)
plt.show()

# %% [markdown]
# The article says 38 % more after ten years, a ratio of 1.38 of two gains. One sample of this size
# knows the ratio only roughly:

# %%
returns.ratio().round(2)

# %% [markdown]
# ## Pil and Leana (2009): ties in teams of four
#
# 1,013 teachers in 239 grade teams. The strength of ties is the mean of about four answers, so it
# is measured with error; what ability is worth depends on it.

# %%
files = tl.simulate_study("pil-2009", seed=1)
classes = files.classes.merge(files.teachers[["teacher", "ability"]], on="teacher")
classes["ties"] = classes["team"].map(school_scale(files.teachers, "ties", by="team"))
fit = tl.lmm(
    "growth ~ ties * ability + log(experience + 1) + poverty + (1 | team)",
    classes,
)
rows(fit, {"ties": "ties", "ability": "ability", "ties:ability": "ties x ability"}).round(3)

# %% [markdown]
# ## From one sample to a verdict
#
# One sample may be lucky. `tl.replicate` draws a study many times, with its own effects and with
# none, and asks how often the published directions come back. A few replicates here; 200 by
# default.

# %%
again = tl.replicate("pil-2009", seed=1, replicates=40, progress=False)
again.claims[["claim", "published", "recovered", "power", "coverage", "exaggeration"]].round(2)

# %%
again.controls[["claim", "control", "significant", "replicates", "verdict", "holds"]]

# %% [markdown]
# ## What to take home
#
# - A null over all pupils may be a balance of groups that gain and groups that lose. It takes the
#   groups, fitted separately or as interactions, to see it.
# - Pupils who move cross the factors: `(time | student) + (1 | school)`.
# - A ratio of gains, a slope per standard deviation of a scale, and a share of the spread of
#   teachers are different sizes; each claim says which it is.
# - Scales from few teachers are noisy, and slopes on them too small.
#
# ## References
#
# Bottia, M. C., Valentino, L., Moller, S., Mickelson, R. A., & Stearns, E. (2016). Teacher
# collaboration and Latinos/as' mathematics achievement trajectories. *American Journal of
# Education*, 122(4), 505-535.
# [doi:10.1086/687274](https://doi.org/10.1086/687274)
#
# Kraft, M. A., & Papay, J. P. (2014). Can professional environments in schools promote teacher
# development? Explaining heterogeneity in returns to teaching experience. *Educational
# Evaluation and Policy Analysis*, 36(4), 476-500.
# [doi:10.3102/0162373713519496](https://doi.org/10.3102/0162373713519496)
#
# Moller, S., Mickelson, R. A., Stearns, E., Banerjee, N., & Bottia, M. C. (2013). Collective
# pedagogical teacher culture and mathematics achievement: Differences by race, ethnicity, and
# socioeconomic status. *Sociology of Education*, 86(2), 174-194.
# [doi:10.1177/0038040712472911](https://doi.org/10.1177/0038040712472911)
#
# Pil, F. K., & Leana, C. (2009). Applying organizational research to public school reform: The
# effects of teacher human and social capital on student performance. *Academy of Management
# Journal*, 52(6), 1101-1124.
# [doi:10.5465/amj.2009.47084647](https://doi.org/10.5465/amj.2009.47084647)
#
# Ronfeldt, M., Farmer, S. O., McQueen, K., & Grissom, J. A. (2015). Teacher collaboration in
# instructional teams and student achievement. *American Educational Research Journal*, 52(3),
# 475-514.
# [doi:10.3102/0002831215585562](https://doi.org/10.3102/0002831215585562)
