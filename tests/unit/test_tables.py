"""Tables of numbers as instruments and spreadsheets write them: the same pattern, or a question."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.runtime import tables
from fastin.xrd.measured import prepare_measured, read_pattern

SHARED = Path(__file__).parents[3] / "shared" / "cases" / "tables"
ANGLE = np.round(np.arange(10.0, 80.01, 0.05), 4)
COUNTS = np.round(
    180 + sum(h * np.exp(-(((ANGLE - c) / 0.12) ** 2)) for c, h in ((20.2, 4000), (29.5, 9066), (47.1, 2500)))
)
Q = 4 * np.pi * np.sin(np.radians(ANGLE / 2)) / 1.54184


def comma(text):
    return text.replace(".", ",")


def grouped(value, mark):
    return f"{value:,.1f}".replace(",", mark)


def rows(separator, left="{:.4f}", right="{:.1f}", *more):
    return [
        separator.join([left.format(x), right.format(y), *(m.format(x=x, y=y, e=np.sqrt(y)) for m in more)])
        for x, y in zip(ANGLE, COUNTS, strict=True)
    ]


KINDS = {
    "blanks": "\n".join(rows(" ")),
    "leading blanks and several": "\n".join("   " + r for r in rows("     ")),
    "bars": "\n".join(rows("|")),
    "carriage returns": "\r".join(rows("\t")),
    "comma, quoted numbers": "\n".join(rows(",", '"{:.4f}"', '"{:.1f}"')),
    "quoted decimal commas between commas": "\n".join(
        f'"{comma(f"{x:.4f}")}","{comma(f"{y:.1f}")}"' for x, y in zip(ANGLE, COUNTS, strict=True)
    ),
    "decimal commas, tabs": comma("\n".join(rows("\t"))),
    "decimal commas, blanks": comma("\n".join(rows("  "))),
    "decimal commas, semicolons, heading": "Winkel;Intensity\n" + comma("\n".join(rows(";"))),
    "thousands by commas": "\n".join(f"{x:.2f}\t{grouped(y, ',')}" for x, y in zip(ANGLE, COUNTS, strict=True)),
    "thousands by commas, quoted": "2theta,counts\n"
    + "\n".join(f'{x:.2f},"{y:,.0f}"' for x, y in zip(ANGLE, COUNTS, strict=True)),
    "thousands by points": "\n".join(
        f"{comma(f'{x:.2f}')};" + f"{y:,.0f}".replace(",", ".") + ",0" for x, y in zip(ANGLE, COUNTS, strict=True)
    ),
    "thousands by points, no decimals": "\n".join(
        f"{comma(f'{x:.2f}')};" + f"{y:,.0f}".replace(",", ".") for x, y in zip(ANGLE, COUNTS, strict=True)
    ),
    "thousands by apostrophes": "\n".join(f"{x:.2f};{grouped(y, chr(39))}" for x, y in zip(ANGLE, COUNTS, strict=True)),
    "thousands by narrow blanks": "\n".join(
        f"{x:.2f};{grouped(y, chr(0x202F))}" for x, y in zip(ANGLE, COUNTS, strict=True)
    ),
    "Fortran exponents": "\n".join(rows(" ", "{:.6E}", "{:.6E}")).replace("E", "D"),
    "words above with other separators": "Sample: LGPS; annealed; Cu, 40 kV\nAngle,Intensity\n" + "\n".join(rows(",")),
    "comment signs": "# 2Theta I\n! note 1 2\n" + "\n".join(rows("\t")) + "\n# end\n",
    "footer": "\n".join(rows(",")) + "\nEnd of data\n",
    "columns by name": "[Scan points]\nAngle,TimePerStep,Intensity,ESD\n"
    + "\n".join(f"{x:.4f},41.0,{y:.1f},{np.sqrt(y):.3f}" for x, y in zip(ANGLE, COUNTS, strict=True)),
    "columns in another order": "No.;ESD;Counts;Calc;2Theta (deg)\n"
    + "\n".join(f"{k};{np.sqrt(y):.3f};{y};{y + 3};{x}" for k, (x, y) in enumerate(zip(ANGLE, COUNTS, strict=True))),
    "observed and calculated": "2theta yobs ycalc bkg diff\n" + "\n".join(rows(" ", "{}", "{}", "{y}", "180", "0")),
    "theta": "theta,I\n" + "\n".join(f"{x / 2:.5f},{y}" for x, y in zip(ANGLE, COUNTS, strict=True)),
    "Q in 1/A": "Q (A^-1)\tI (a.u.)\n" + "\n".join(f"{q:.7f}\t{y}" for q, y in zip(Q, COUNTS, strict=True)),
    "Q in 1/nm": "q [nm-1];counts\n" + "\n".join(f"{10 * q:.6f};{y}" for q, y in zip(Q, COUNTS, strict=True)),
    "d": "d (Å),Intensity\n" + "\n".join(f"{2 * np.pi / q:.8f},{y}" for q, y in zip(Q, COUNTS, strict=True)),
    "radians": "2theta (rad),I\n" + "\n".join(f"{np.radians(x):.8f},{y}" for x, y in zip(ANGLE, COUNTS, strict=True)),
    "units in a row": "2Theta,Intensity\ndeg,counts\n" + "\n".join(rows(",")),
    "one start line too many": "5.0 0.02 90\n" + "\n".join(rows(" ")),
    "start step stop": "10.0 0.05 80.0\n"
    + "\n".join(" ".join(f"{y:.0f}" for y in COUNTS[k : k + 10]) for k in range(0, len(COUNTS), 10)),
    "start step stop with words": "! LGPS\n10.0 0.05 80.0 LGPS at 300 K\n" + "\n".join(f"{y:.0f}" for y in COUNTS),
    "GSAS STD": "LGPS\n"
    + f"BANK 1 {len(COUNTS)} {-(-len(COUNTS) // 10)} CONST 1000.0 5.0 0 0 STD\n"
    + "\n".join("".join(f" 1{y:6.0f}" for y in COUNTS[k : k + 10]) for k in range(0, len(COUNTS), 10)),
    "GSAS ESD": "LGPS\n"
    + f"BANK 1 {len(COUNTS)} {-(-len(COUNTS) // 5)} CONS 1000.0 5.0 0 0 ESD\n"
    + "\n".join(
        "".join(f"{y:8.1f}{np.sqrt(y):8.2f}" for y in COUNTS[k : k + 5]) for k in range(0, len(COUNTS), 5)
    ),
    "GSAS FXYE": f"LGPS\nBANK 1 {len(COUNTS)} {len(COUNTS)} CONS 1000.0 5.0 0 0 FXYE\n"
    + "\n".join(f"{100 * x:.2f} {y:.1f} {np.sqrt(y):.2f}" for x, y in zip(ANGLE, COUNTS, strict=True)),
    "UXD counts": "; C:\\x\n_FILEVERSION = 2\n_WL1 = 1.540600\n_STEPSIZE = 0.05\n_START = 10.0\n_COUNTS\n"
    + "\n".join(" ".join(f"{y:.0f}" for y in COUNTS[k : k + 8]) for k in range(0, len(COUNTS), 8)),
    "UXD pairs": "_FILEVERSION = 2\n_STEPSIZE = 0.05\n_2THETACOUNTS\n" + "\n".join(rows("  ")),
    "RAS": '*RAS_DATA_START\n*RAS_HEADER_START\n*MEAS_SCAN_AXIS_X_INTERNAL "TwoThetaTheta"\n*RAS_HEADER_END\n'
    + "*RAS_INT_START\n"
    + "\n".join(f"{x:.4f} {y / 8:.4f} 8.0000" for x, y in zip(ANGLE, COUNTS, strict=True))
    + "\n*RAS_INT_END\n*RAS_DATA_END\n",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        *((kind, encoding) for kind in KINDS for encoding in ("utf-8", "utf-16")),
        *((kind, encoding) for kind in ("blanks", "d") for encoding in ("utf-8-sig", "utf-16-le", "cp1252")),
    ],
)
def test_every_kind_gives_the_same_pattern(tmp_path, kind, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes(KINDS[kind].encode(encoding, errors="replace"))
    pattern = read_pattern(path)
    np.testing.assert_allclose(pattern.two_theta, ANGLE, atol=2e-4)
    np.testing.assert_allclose(pattern.intensity, COUNTS, atol=0.51 / 8)


def columns(heading, *functions):
    return heading + "\n".join(
        ",".join(f(k, x, y) for f in functions) for k, (x, y) in enumerate(zip(ANGLE, COUNTS, strict=True))
    )


def a(k, x, y):
    return f"{x:.4f}"


def i(k, x, y):
    return f"{y:.1f}"


QUESTIONS = {
    "decimal commas between commas": (comma("\n".join(rows(","))), "another separator|without headings"),
    "time per step without heading": (columns("", a, lambda k, x, y: f"{41 + k / 100:.2f}", i), "without headings"),
    "a row number without heading": (columns("", lambda k, x, y: str(k), a, i), "without headings"),
    "counts of unequal times": (
        columns("2theta,time per step,counts\n", a, lambda k, x, y: f"{41 + k / 100:.2f}", i), "time per step"),
    "two patterns": (columns("2theta,LGPS,LPSCl\n", a, i, i), "no column for the intensity"),
    "two intensities": (columns("2theta,counts,intensity\n", a, i, i), "2 columns of intensities"),
    "Q without heading": ("\n".join(f"{q:.5f} {y}" for q, y in zip(Q, COUNTS, strict=True)), "may be 2 theta"),
    "Q without unit, out of reach": (
        "Q,I\n" + "\n".join(f"{10 * q:.5f},{y}" for q, y in zip(Q, COUNTS, strict=True)), "without a unit"),
    "d without unit, in nm": (
        "d,I\n" + "\n".join(f"{0.2 * np.pi / q:.6f},{y}" for q, y in zip(Q, COUNTS, strict=True)), "without a unit"),
    "theta that is 2 theta": (columns("theta,I\n", lambda k, x, y: f"{2 * x:.3f}", i), "theta runs to"),
    "square root": (columns("2theta,sqrt(counts)\n", a, lambda k, x, y: f"{np.sqrt(y):.2f}"), "not a linear scale"),
    "time of flight": (columns("TOF (us),I\n", lambda k, x, y: f"{100 * x}", i), "no angle"),
    "one column": ("\n".join(f"{y:.0f}" for y in COUNTS), "one column"),
    "time-of-flight bank": ("x\nBANK 1 20 20 SLOG 1000 5 0 0 FXYE\n" + "\n".join(rows(" ")), "time-of-flight"),
    "a bank that is too short": (
        "x\nBANK 1 9999 9999 CONS 1000 5 0 0 FXY\n" + "\n".join(rows(" ")),
        "announces 9999",
    ),
    "decimals or thousands": (
        "\n".join(f"{k}\t{y / 1000:.3f}".replace(".", ",") for k, y in enumerate(COUNTS[190:250] + 2000, 10)),
        "--decimal",
    ),
    "a broken row": ("\n".join([*rows(" ")[:50], "12.5 abc", *rows(" ")[50:]]), "line 51.*12.5 abc"),
    "a short row": ("\n".join([*rows(" ")[:50], "12.5", *rows(" ")[50:]]), "line 51.*1 columns, not 2"),
    "words only": ("a pattern\nof words\n", "line 1.*a pattern"),
    "a binary file": ("\x00\x01\x02RAW1.01" + "\x00\x07" * 40, "binary"),
}  # fmt: skip


@pytest.mark.parametrize("kind", QUESTIONS)
def test_what_is_unclear_is_asked(tmp_path, kind):
    text, message = QUESTIONS[kind]
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_pattern(path)
    assert str(path) in str(caught.value)


def test_answers_to_the_questions(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(QUESTIONS["Q without heading"][0])
    np.testing.assert_allclose(read_pattern(path, x="Q").two_theta, ANGLE, atol=2e-3)
    path.write_text(QUESTIONS["two patterns"][0])
    np.testing.assert_allclose(read_pattern(path, columns=(1, 3)).intensity, COUNTS)
    path.write_text(QUESTIONS["decimals or thousands"][0])
    assert read_pattern(path, decimal=".").intensity.max() == pytest.approx(COUNTS[190:250].max() + 2000)
    assert read_pattern(path, decimal=",").intensity.max() < 20
    path.write_text(KINDS["blanks"])
    with pytest.raises(InputError, match="x is one of"):
        read_pattern(path, x="energy")


def test_angles_from_q_keep_their_wavelength(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text(KINDS["Q in 1/A"])
    pattern = read_pattern(path)
    assert pattern.absolute
    np.testing.assert_array_equal(prepare_measured(pattern, wavelength="MoKa"), prepare_measured(pattern))
    np.testing.assert_allclose(prepare_measured(pattern).argmax(), 29.5 / 0.02, atol=1)


def test_wavelengths_in_nanometres_are_refused():
    import fastin

    with pytest.raises(InputError, match="nanometres"):
        fastin.xrd_pattern(fastin.examples()["LiCl"], wavelength=0.01)


XRDML = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5" status="Completed"><xrdMeasurement>
<usedWavelength intended="K-Alpha"><kAlpha1 unit="Angstrom">{first}</kAlpha1><kAlpha2 unit="Angstrom">{second}</kAlpha2>
<kBeta unit="Angstrom">1.39225</kBeta><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
<scan appendNumber="0" mode="Continuous" scanAxis="Gonio"><dataPoints>
<positions axis="2Theta" unit="deg"><startPosition>{start}</startPosition><endPosition>{stop}</endPosition></positions>
<commonCountingTime unit="seconds">20</commonCountingTime><intensities unit="counts">{counts}</intensities>
</dataPoints></scan></xrdMeasurement></xrdMeasurements>"""


def test_vendor_files(tmp_path):
    pytest.importorskip("fairmat_readers_xrd", reason="extra 'xrd' is not installed")
    path = tmp_path / "a.xrdml"
    counts = " ".join(f"{y:.0f}" for y in COUNTS)
    path.write_text(XRDML.format(first=1.5405980, second=1.5444260, start=ANGLE[0], stop=ANGLE[-1], counts=counts))
    pattern = read_pattern(path)
    np.testing.assert_allclose(pattern.two_theta, ANGLE, atol=1e-9)
    np.testing.assert_allclose(pattern.intensity, COUNTS)
    assert pattern.wavelength == pytest.approx(1.541874, abs=1e-5)
    path.write_text("<html>no measurement</html>")
    with pytest.raises(InputError, match=r"cannot be read as \.xrdml.*save as"):
        read_pattern(path)


@pytest.mark.parametrize("name", ["a.raw", "a.udf", "a.rd", "a.brml", "a.xlsx"])
def test_files_that_are_not_read_name_the_export(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"binary"))
    with pytest.raises(InputError, match=r"[Ee]xport|save|CSV"):
        read_pattern(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not beside the repository")
@pytest.mark.parametrize("name", [f.name for f in sorted(SHARED.glob("*")) if not f.name.startswith("a_")])
def test_shared_cases(name):
    expected, found = read_pattern(SHARED / "ok.xy"), read_pattern(SHARED / name)
    np.testing.assert_allclose(found.two_theta, expected.two_theta, atol=1e-3)
    np.testing.assert_allclose(found.intensity, expected.intensity)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1.5D+03", 1500.0), ("4.5×10^-3", 4.5e-3), ("4.51(3)", 4.51), ("4.5 ± 0.1", 4.5), (".5", 0.5), ("5.", 5.0),
        ("-1", -1.0), ("", None), ("e5", None), ("1e", None), ("2024-01-05", None), ("12:30", None), ("1,5", None),
    ],
)  # fmt: skip
def test_numbers(cell, expected):
    assert tables.parse_number(cell) == expected
