"""The verb `vam`: from scores, prior scores and teachers to value-added effects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers
from teamlink.errors import DesignError, DroppedRows, Fault, OptionError, check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.encoding import encode
from teamlink.mixed.factor import Factor
from teamlink.mixed.linear import lmm
from teamlink.mixed.result import MixedFit
from teamlink.mixed.rows import usable_rows
from teamlink.syntax.formula import parse
from teamlink.typing import Array, Codes, Mask, Table
from teamlink.value_added.absorbed import absorbed, components_of
from teamlink.value_added.joint import joint_effects
from teamlink.value_added.request import Request, request
from teamlink.value_added.result import GroupEffects, ValueAdded
from teamlink.value_added.shrink import shrink

__all__ = ["response_of", "vam"]


def vam(
    data: Table,
    score: str,
    teacher: str,
    school: str | None = None,
    *,
    prior: str | Sequence[str] = (),
    gain: bool = False,
    year: str | None = None,
    student: str | None = None,
    covariates: str | Sequence[str] = (),
    effects: Literal["random", "fixed"] = "random",
    nested: bool = False,
    yearly: bool = False,
    cluster: str | None = None,
    connected: Literal["all", "largest"] = "all",
    reml: bool = True,
    df: Literal["satterthwaite", "kenward-roger", "residual", "normal"] = "satterthwaite",
) -> ValueAdded:
    """Estimate value added by teachers, and by schools, from scores of students.

    Parameters
    ----------
    data : table
        Any data frame, one row a student and year.
    score : str
        Column of the score.
    teacher, school : str
        Columns of the teacher and, if wanted, of the school of each row.
    prior : str or sequence of str
        Lagged scores, which enter as covariates. With ``gain=True`` the one score that is
        subtracted; none if `score` is a gain already.
    gain : bool
        Model the gain instead of the score given the lagged score.
    year : str, optional
        Column of the year, which enters as a category.
    student : str, optional
        Column of the student, who then has a random effect; with ``gain=True`` only, and with
        students of several rows.
    covariates : str or sequence of str
        More columns, or terms of a formula such as ``"I(prior ** 2)"`` or
        ``"between(prior, classroom)"``.
    effects : {"random", "fixed"}
        Random effects by `lmm`; or fixed effects by least squares, shrunken afterwards.
    nested : bool
        Ids of teachers count within schools: teacher 1 of one school is not teacher 1 of another.
    yearly : bool
        With random effects: each teacher has an effect of each year beside the lasting one, so
        that shocks to a class and drift do not pass for lasting value added.
    cluster : str, optional
        With fixed effects: column of the clusters of the coefficients' covariance.
    connected : {"all", "largest"}
        With fixed effects of teachers and schools: raise where teachers who move do not connect
        all schools, or use the largest connected set.
    reml, df
        As in `lmm`.

    Returns
    -------
    ValueAdded
        ``.teachers``, ``.schools``, ``.ranks()``, ``.reliability``, ``.components``, ``.tidy()``,
        ``.summary()``.

    Raises
    ------
    OptionError
        Options that are not offered, or do not go together.
    DataError, DesignError
        The table lacks what is asked, or effects cannot be told apart; every fault is listed.

    Warns
    -----
    DroppedRows, RankDeficient, FewGroups, NotConverged

    Notes
    -----
    With lagged scores ``a`` the model of student i of teacher j in school k is

    ``y_ijk = a_i'delta + x_i'beta + theta_j + phi_k + e_i``.

    With random effects ``theta_j ~ N(0, tau^2)`` and ``phi_k ~ N(0, omega^2)`` the effects are
    their conditional means given the data (best linear unbiased predictions), drawn towards zero,
    with their conditional standard errors, variances and coefficients known [1]_. The reliability
    of an effect is ``1 - se^2 / tau^2``. Where no teacher works in two schools the effect of a
    teacher is a deviation from the school, and ``total`` is the sum of both.

    With fixed effects the effects are least-squares estimates, centred; with their sampling
    covariance V the variance of the true effects is ``tau^2 = (d'd - tr V) / (J - 1)`` and the
    shrunken effects are ``tau^2 (tau^2 I + V)^-1 d``. Fixed effects of teachers and schools both
    are identified through teachers who work in several schools, within connected sets [2]_.

    Random effects are biased where students with better prospects that the covariates do not hold
    have better teachers; fixed effects allow covariates to be related to teachers. Neither makes an
    observational comparison an experiment. A lagged score is measured with error, and its
    coefficient is then too small.

    In R: ``lme4::lmer(score ~ prior + (1 | teacher) + (1 | school), data)`` and
    ``ranef(fit, condVar = TRUE)``.

    References
    ----------
    .. [1] McCaffrey, Lockwood, Koretz, Louis, Hamilton (2004). Models for value-added modeling of
       teacher effects. Journal of Educational and Behavioral Statistics 29(1).
       doi:10.3102/10769986029001067
    .. [2] Abowd, Kramarz, Margolis (1999). High wage workers and high wage firms. Econometrica
       67(2). doi:10.1111/1468-0262.00020

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> teacher = np.repeat(np.arange(60), 20)
    >>> school, prior = teacher // 5, rng.normal(size=1200)
    >>> added = rng.normal(0, 0.2, 60)[teacher] + rng.normal(0, 0.1, 12)[school]
    >>> score = 0.7 * prior + added + rng.normal(0, 0.5, 1200)
    >>> pupils = pd.DataFrame(
    ...     {"score": score, "prior": prior, "teacher": teacher, "school": school}
    ... )
    >>> value = tl.vam(pupils, "score", "teacher", "school", prior="prior")
    >>> value.formula
    'score ~ prior + (1 | teacher) + (1 | school)'
    >>> value.reliability.round(2)
               sd  reliability  groups
    teacher  0.17         0.62      60
    school   0.09         0.50      12
    """
    check_option("effects", effects, ["random", "fixed"])
    check_option("connected", connected, ["all", "largest"])
    _check_kind(effects, student, yearly, cluster, connected)
    asked, frame = request(
        data, score, teacher, school, prior=prior, gain=gain, year=year, student=student,
        covariates=covariates, nested=nested, yearly=yearly,
    )  # fmt: skip
    if effects == "random":
        return _random(asked, frame, reml, df)
    return _fixed(asked, data, cluster, connected)


def _check_kind(
    effects: str, student: str | None, yearly: bool, cluster: str | None, connected: str
) -> None:
    """Raise where an option goes with the other kind of effects."""
    given = {"student": student is not None, "yearly": yearly}
    if effects == "random":
        given = {"cluster": cluster is not None, "connected": connected != "all"}
    for name, there in given.items():
        if there:
            other = "fixed" if effects == "random" else "random"
            raise OptionError(f"{name}: goes with effects={other!r}, not with {effects!r}")


def _random(asked: Request, frame: pd.DataFrame, reml: bool, df: Any) -> ValueAdded:
    fit = lmm(asked.text, frame, reml=reml, df=df)
    design = fit.model.design
    names = [factor.name for factor in design.factors]
    sd = np.diag(fit.sigma * fit.Lambda)
    with single_thread().limit(limits=1):
        joint = joint_effects(
            design.y,
            fit.independent("vam").fixed_columns,
            [factor.only_codes for factor in design.factors],
            [factor.n_groups for factor in design.factors],
            np.abs(sd),
            fit.sigma,
        )
    by = dict(zip(names, range(len(names)), strict=True))
    t = by[asked.teacher_factor]
    teachers = _group(fit, t)
    schools, school_of, counts = None, None, None
    places = {"teacher": joint.places[t]}
    if asked.school is not None:
        s = by[asked.school]
        schools = _group(fit, s)
        places["school"] = joint.places[s]
        pair = design.factors[t], design.factors[s]
        school_of, counts = _schools(pair[0].only_codes, pair[1].only_codes, pair[0].n_groups)
    # The contrasts range over all effects, other factors among them.
    places["all"] = slice(0, joint.places[-1].stop)
    return ValueAdded(
        "random", asked, asked.text, fit.estimates, _components(fit), fit.nobs, fit,
        teachers, schools, places, school_of, counts, joint,
    )  # fmt: skip


def _group(fit: MixedFit, place: int) -> GroupEffects:
    factor: Factor = fit.model.design.factors[place]
    effects = fit.random_effects[place]
    return GroupEffects(
        factor.levels.rename(factor.name),
        np.bincount(factor.only_codes, minlength=factor.n_groups),
        float(np.sqrt(effects.marginal[0, 0])),
        effects.values[:, 0],
        np.sqrt(effects.covariance[:, 0, 0]),
    )


def _components(fit: MixedFit) -> pd.DataFrame:
    table = fit.varcorr
    return _component_frame(
        table["group"].tolist(), table["vcov"].to_numpy(dtype=float), fit.model.design.y
    )


def _component_frame(groups: Sequence[str], variance: Array, y: Array) -> pd.DataFrame:
    sd = np.sqrt(variance)
    return pd.DataFrame(
        {
            "group": groups,
            "variance": variance,
            "sd": sd,
            "share": variance / variance.sum(),
            "sd_ratio": sd / y.std(ddof=1),
        }
    )


def _schools(teacher: Codes, school: Codes, J: int) -> tuple[Codes, Codes]:
    """The school of most rows of each teacher (J,), and how many schools each has (J,)."""
    pairs, rows = np.unique(np.column_stack([teacher, school]), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -rows, pairs[:, 0]))
    first = np.searchsorted(pairs[order, 0], np.arange(J))
    return pairs[order][first, 1], np.bincount(pairs[:, 0], minlength=J)


def _fixed(asked: Request, data: Table, cluster: str | None, connected: str) -> ValueAdded:
    formula = parse(asked.fixed_text)
    keys = [k for k in (asked.teacher, asked.school, cluster) if k is not None]
    frame, _, _ = usable_rows(formula, data, (), keys)
    codes: list[Codes] = []
    levels: list[pd.Index[Any]] = []
    own = [asked.school, asked.teacher] if asked.nested and asked.school else asked.teacher
    for key in (own, *([asked.school] if asked.school else [])):
        c, labels = group_codes(frame, key)
        codes.append(c)
        levels.append(labels)
    if asked.school is not None:
        kept = _identified(codes, [len(labels) for labels in levels], asked, connected)
        if not kept.all():
            frame = frame.loc[kept]
            return _fixed(asked, frame, cluster, "all")
    sizes = [len(labels) for labels in levels]
    _check_sizes(codes[0], sizes[0], asked)
    coded = encode({"fixed": f"1 + {formula.fixed}"}, frame, formula.text)["fixed"]
    X, names = coded[0][:, 1:], coded[1].names[1:]
    y = response_of(formula.response, frame, formula.text)
    clusters = None if cluster is None else group_codes(frame, cluster)[0]
    found = absorbed(y, X, names, codes, sizes, clusters)
    shrunken = tuple(map(shrink, found.effects, found.covariances))
    groups = [
        GroupEffects(
            label, np.bincount(c), each.tau, each.mean, each.std_error, d, np.sqrt(np.diag(V))
        )
        for label, c, each, d, V in zip(
            levels, codes, shrunken, found.effects, found.covariances, strict=True
        )
    ]
    school_of, counts = _schools(codes[0], codes[1], sizes[0]) if len(codes) > 1 else (None, None)
    kinds = [asked.teacher, *([asked.school] if asked.school else []), "Residual"]
    variance = np.square([*(each.tau for each in shrunken), found.sigma])
    return ValueAdded(
        "fixed", asked, asked.fixed_text, found.estimates, _component_frame(kinds, variance, y),
        len(y), None, groups[0], groups[1] if len(groups) > 1 else None,
        {}, school_of, counts, shrunken,
    )  # fmt: skip


def response_of(text: str, frame: pd.DataFrame, source: str) -> Array:
    """The response (n,): a column, or what a call on columns gives."""
    if text in frame.columns:
        return numbers(frame, text)
    return encode({"response": f"0 + {text}"}, frame, source)["response"][0][:, 0]


def _check_sizes(codes: Codes, J: int, asked: Request) -> None:
    rows = np.bincount(codes, minlength=J)
    if J < 3 or (rows == 1).all():
        raise DesignError(
            [Fault(f"{J} groups, {int((rows > 1).sum())} of them with several rows",
                   f"group {asked.teacher_factor!r}",
                   "effects and residuals cannot be told apart; three teachers at least, with "
                   "several students")]
        )  # fmt: skip


def _identified(codes: list[Codes], sizes: list[int], asked: Request, connected: str) -> Mask:
    """Which rows (n,) belong to the connected set that is used."""
    _, counts = _schools(codes[0], codes[1], sizes[0])
    if (counts == 1).all():
        raise DesignError(
            [Fault("each teacher works in one school, so that fixed effects of teachers and of "
                   "schools cannot be told apart",
                   f"columns {asked.teacher!r}, {asked.school!r}",
                   "leave out school=, or take effects='random'")]
        )  # fmt: skip
    label = components_of(codes[0], codes[1], (sizes[0], sizes[1]))
    sets = int(label.max()) + 1
    if sets == 1:
        return np.ones(len(label), dtype=np.bool_)
    rows = int((label == 0).sum())
    if connected == "all":
        raise DesignError(
            [Fault(f"{sets} sets of schools between which no teacher moves; the largest has {rows} "
                   f"of {len(label)} rows",
                   f"columns {asked.teacher!r}, {asked.school!r}",
                   "take connected='largest', leave out school=, or take effects='random'")]
        )  # fmt: skip
    warnings.warn(
        f"{len(label) - rows} of {len(label)} rows left out, as they are not in the largest "
        "connected set of teachers and schools",
        DroppedRows,
        stacklevel=4,
    )
    return np.asarray(label == 0)
