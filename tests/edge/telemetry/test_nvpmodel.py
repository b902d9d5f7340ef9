"""The power mode of a Jetson, by nvpmodel's status and table."""

from edge.telemetry.nvpmodel import power_mode


def test_a_mode_is_named_although_its_table_is_longer_than_a_page(tmp_path):
    status, table = tmp_path / "var/lib/nvpmodel/status", tmp_path / "etc/nvpmodel.conf"
    for path, text in (
        (status, "pmode:0002"),
        (table, "# what a mode sets\n" * 400 + "< POWER_MODEL ID=2 NAME=15W >\n"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert power_mode(tmp_path) == "15W"


def test_a_machine_without_nvpmodel_has_no_mode(tmp_path):
    assert power_mode(tmp_path) is None
