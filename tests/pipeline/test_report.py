from pathlib import Path


def test_training_ends_with_a_page_to_look_at(place: Path) -> None:
    run_dir = place / "submissions" / "whole"
    assert "<h1>whole</h1>" in (run_dir / "report.html").read_text(encoding="utf-8")
    assert (run_dir / "label_issues.csv").is_file()
