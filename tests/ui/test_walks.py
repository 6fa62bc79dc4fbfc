"""The walks of the guide to the script this tool replaces, word for word: a real terminal, real reviews."""

import json

READ = 200  # characters: no model of 16 tokens reads more


def cut_reviews():
    """Leave out what the model does not read, for to split it into tokens takes longer than all the rest."""
    from bert_mpq.compute.reviews import Reviews
    from bert_mpq.runs import job

    whole = job.load_reviews

    def cut(source, split):
        reviews = whole(source, split)
        return Reviews(texts=tuple(text[:READ] for text in reviews.texts), labels=reviews.labels)

    job.load_reviews = cut


def test_quick_start_then_compare(terminal, tmp_path, small):
    screen = terminal(*small, prepare=cut_reviews)
    # Phase 1: "5k (fast, noisy)" -> "Stratified sampling" -> "PWCCA + CKA (recommended)"
    screen.choose("Phase 1: Sensitivity Analysis").wait("Step 1 of 3  Calibration set size")
    screen.choose("5k (fast, noisy)").wait("Step 2 of 3  Sampling strategy").choose("Stratified sampling")
    screen.wait("Step 3 of 3  Similarity metrics").choose("PWCCA + CKA (recommended)")
    screen.wait("Nothing has been written yet.").wait("Start now?")
    assert not list(tmp_path.glob("*itivities/*"))
    screen.press("enter").wait("Compare activations", 120).wait("Repeat this run:", 120)
    for shown in ("1 - PWCCA (higher", "1 - CKA (higher", "Rank agreement", "Done in"):
        assert shown in screen.text
    # Phase 2: "5k (fast)" -> K-means 3 groups -> [16/8/4] bits
    screen.choose("Phase 2: Quantization & Evaluation").wait("Step 1 of 5  Evaluation set size")
    screen.choose("5k (fast)").wait("Step 2 of 5  Load sensitivity file")
    screen.wait("5 layers, ").choose("layer_sensitivity_small-bert_IMDB_pwcca.json")
    screen.wait("Step 3 of 5  Clustering strategy").choose("K-means (recommended)")
    screen.wait("Step 4 of 5  Number of precision groups").choose("3 groups (simple)")
    screen.wait("Step 5 of 5  Bit precision assignment").wait("bits a weight; model")
    screen.choose("[16, 8, 4] conservative").wait("Start now?").press("enter")
    screen.wait("eval_small-bert_IMDB_kmeans_3groups_", 120).wait("What next?")
    for shown in ("Bit allocation", "Accuracy", "Whole model", "fake quantization"):
        assert shown in screen.text
    # The menu knows what has been run: comparison is open, and sizes have their minutes.
    screen.press("esc").choose("Compare results").wait("Sizes are of the whole")
    (run,) = [line for line in screen.text.splitlines() if line.startswith(" *   16/8/4 ")]
    assert "K-means" in run
    screen.choose("Phase 1: Sensitivity Analysis").wait("on this machine").press("esc")
    screen.wait("Phase 2").choose("Exit")
    assert screen.finish() == 0
    assert "Traceback" not in screen.text


def test_full_pipeline(terminal, tmp_path, small, review_file):
    screen = terminal(*small, "--data", review_file.name)
    screen.choose("Full pipeline (Phase 1 + Phase 2)")
    # Phase 1: "25k (full IMDB train)", here all there is -> "Stratified sampling" -> "PWCCA + CKA"
    screen.wait("Calibration set size").wait("5k (fast, noisy) (the split has 100)")
    screen.choose("100 (full split, recommended)")
    screen.choose("Stratified sampling").choose("PWCCA + CKA (recommended)")
    # Phase 2: "25k (full test)" -> K-means 4 groups -> [32/16/8/4] bits
    screen.wait("Evaluation set size").choose("100 (full split, recommended)")
    screen.choose("K-means (recommended)").choose("4 groups (fine control)")
    screen.wait("bits a weight; model").choose("[32, 16, 8, 4] conservative").wait("Start now?").press(
        "enter"
    )
    screen.wait("_kmeans_4groups_", 200).wait("Repeat this run:")
    record = json.loads(next(tmp_path.glob("Evaluation/*.json")).read_text())
    assert record["before"]["size"] == 100
    assert record["allocation"]["group_bits"] == [32, 16, 8, 4]
    first = json.loads(next(tmp_path.glob("Sensitivities/run_*.json")).read_text())
    assert first["sample"]["size"] == 100
