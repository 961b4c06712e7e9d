"""Small real data sets that ship with teamlink, each with its provenance and licence.

Examples
--------
>>> import teamlink as tl
>>> tl.datasets.names()
['egsingle', 'hsb82']
>>> students = tl.datasets.load("hsb82")
>>> students["school"].nunique()
160
"""

from __future__ import annotations

import inspect
from importlib import resources

import pandas as pd

from teamlink.data.load import load as load_file
from teamlink.errors import check_option

__all__ = ["describe", "egsingle", "hsb82", "load", "names"]


def names() -> list[str]:
    """Give the names of the data sets that ship.

    Returns
    -------
    list of str
        Names for `load` and `describe`.

    Examples
    --------
    >>> import teamlink as tl
    >>> tl.datasets.names()
    ['egsingle', 'hsb82']
    """
    return sorted(SETS)


def load(name: str) -> pd.DataFrame:
    """Load a data set that ships with teamlink.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    pandas.DataFrame
        A new frame at each call; `describe(name)` tells what its columns are.

    Raises
    ------
    OptionError
        There is no such data set; the message lists those that are.

    Examples
    --------
    >>> import teamlink as tl
    >>> tl.datasets.load("hsb82").shape
    (7185, 13)
    """
    check_option("name", name, names())
    return SETS[name]()


def describe(name: str) -> str:
    """Tell what a data set holds, where it comes from, and under what terms.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    str
        Columns, units, provenance, licence, references.

    Raises
    ------
    OptionError
        There is no such data set; the message lists those that are.

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.datasets.describe("hsb82").splitlines()[0])
    Load High School and Beyond 1982: mathematics achievement of students in schools.
    """
    check_option("name", name, names())
    return inspect.getdoc(SETS[name]) or ""


def hsb82() -> pd.DataFrame:
    """Load High School and Beyond 1982: mathematics achievement of students in schools.

    7,185 students in 160 high schools (90 public, 70 Catholic): the subsample that the textbooks
    on hierarchical linear models use. Student file and school file are joined; nothing is missing.

    Returns
    -------
    pandas.DataFrame
        7,185 rows, in the order of the school ids, and the columns

        ============  =====================================================================
        school        id of the school, 160 different integers
        mathach       mathematics achievement (points of the test)
        ses           socio-economic status of the student (composite; mean 0 over students)
        minority      1 if the student belongs to a minority, else 0
        female        1 for girls, 0 for boys
        meanses       mean of ses in the school over the students in this file (see Notes)
        cses          ses - meanses
        meanses_file  MEANSES of the textbooks' school file, three decimals (see Notes)
        sector        categorical: "Public" (the reference) or "Catholic"
        size          enrolment of the school (students)
        pracad        share of students on the academic track
        disclim       disciplinary climate (scale)
        himinty       1 if more than 40 per cent of the enrolment is minority, else 0
        ============  =====================================================================

    Notes
    -----
    Three variables called "meanses" are in circulation for these data, and they give different
    fits. Here `meanses` is the first of them: the mean of `ses` over the students of the school
    in this very file, at full precision, as in R's ``mlmRev::Hsb82``. `meanses_file` is the
    second, MEANSES of the school file that comes with Raudenbush and Bryk's textbook and of R's
    ``nlme::MathAchieve``: it has three decimals and lies 0.006 higher in every school, so it is
    not the mean of these students. The third is the column of the same name in some teaching
    copies of the file, which is close to the second. With ``mathach ~ meanses + (1 | school)``,
    fitted by REML, the first gives the intercept 12.685, the second 12.649.

    Provenance: National Center for Education Statistics, High School and Beyond, public-use file
    of 1982, as distributed with Raudenbush and Bryk's textbook. Taken from R's ``mlmRev::Hsb82``
    (`mathach`, `ses`, `minority`, `female`, `meanses`, `cses`, `sector`) joined with
    ``nlme::MathAchieve`` (`meanses_file`) and ``nlme::MathAchSchool`` (the school's other
    variables); the two student files agree in every shared value.

    Licence: a work of the government of the United States, in the public domain there.

    References
    ----------
    Raudenbush, S. W., & Bryk, A. S. (2002). *Hierarchical linear models: Applications and data
    analysis methods* (2nd ed.). Sage.

    Pinheiro, J. C., & Bates, D. M. (2000). *Mixed-effects models in S and S-PLUS*. Springer.
    https://doi.org/10.1007/b98882

    Examples
    --------
    >>> import teamlink as tl
    >>> students = tl.datasets.hsb82()
    >>> len(students), students["school"].nunique()
    (7185, 160)
    """
    frame = _read("hsb82")
    # In the field's papers the public schools are the reference; the alphabet would say otherwise.
    return frame.assign(sector=pd.Categorical(frame["sector"], ["Public", "Catholic"]))


def egsingle() -> pd.DataFrame:
    """Load the Sustaining Effects Study: growth in mathematics over the primary-school years.

    7,230 test scores of 1,721 children in 60 primary schools, two to six a child. Every child
    stays in one school; nothing is missing.

    Returns
    -------
    pandas.DataFrame
        7,230 rows, and the columns

        ========  =======================================================================
        schoolid  id of the school, 60 different integers
        childid   id of the child, 1,721 different integers
        year      year of the study, centred: -2.5, -1.5, -0.5, 0.5, 1.5, 2.5
        grade     grade the child is in, 0 (kindergarten) to 5
        math      mathematics score (item response theory scale, logits)
        retained  1 if the child repeats the grade in that year, else 0
        female    "Female" or "Male", the labels of the source (see Notes)
        black     1 if the child is African American, else 0
        hispanic  1 if the child is Hispanic, else 0
        size      number of students in the school
        lowinc    students of the school from low-income families (per cent)
        mobility  students who move during a year (per cent)
        ========  =======================================================================

    Notes
    -----
    The labels of `female` are those of the source; whether its coding follows the original file
    could not be checked, so take care before reading meaning into that coefficient's sign.

    Provenance: the Sustaining Effects Study of compensatory education, made for the federal
    education department of the United States (Carter 1984); these records were distributed as
    example data with the program HLM. Taken from R's ``mlmRev::egsingle``, whose conversion
    Doran and Lockwood (2006) describe.

    Licence: no terms came with the example data. They are facts from a study that the federal
    government paid for; the R package that they were taken from is under the GNU General Public
    License, version 2 or later.

    References
    ----------
    Carter, L. F. (1984). The Sustaining Effects Study of compensatory and elementary education.
    *Educational Researcher*, 13(7), 4-13. https://doi.org/10.3102/0013189X013007004

    Doran, H. C., & Lockwood, J. R. (2006). Fitting value-added models in R. *Journal of
    Educational and Behavioral Statistics*, 31(2), 205-230.
    https://doi.org/10.3102/10769986031002205

    Examples
    --------
    >>> import teamlink as tl
    >>> growth = tl.datasets.egsingle()
    >>> growth["childid"].nunique(), growth["schoolid"].nunique()
    (1721, 60)
    """
    return _read("egsingle")


def _read(name: str) -> pd.DataFrame:
    with resources.as_file(resources.files(__name__) / f"{name}.csv.gz") as path:
        return load_file(path)


SETS = {"egsingle": egsingle, "hsb82": hsb82}
