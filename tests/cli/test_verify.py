import json

from PIL import Image

from tests.verify.clips import FRAMES, WIDTH, pan, scene, write


def test_a_sound_video_is_measured_and_called_valid(tmp_path, run):
    Image.fromarray(scene()[:, :WIDTH]).save(tmp_path / "still.png")
    file = write(tmp_path / "x.mp4", pan(scene()))
    result = run("verify", file, "--picture", tmp_path / "still.png", "--frames", FRAMES)
    assert result.exit_code == 0, result.stderr
    assert f"{FRAMES} frames of {WIDTH}x192, 16 fps" in result.stdout
    assert "valid" in result.stdout


def test_a_doubtful_video_ends_with_1_and_its_doubts(tmp_path, run):
    file = write(tmp_path / "x.mp4", [scene()[:, :WIDTH]] * FRAMES)
    result = run("verify", file, "--frames", 81)
    assert result.exit_code == 1
    assert "frames: The video has 17 frames instead of 81." in result.stdout
    assert "frozen: Nothing moves" in result.stdout
    told = json.loads(run("verify", file, "--still", "--json").stdout)
    assert told["measured"]["frames"] == FRAMES
    assert "findings" not in told


def test_what_is_no_video_is_said_in_one_line(tmp_path, run):
    (tmp_path / "x.txt").write_text("text")
    result = run("verify", tmp_path / "x.txt")
    assert result.exit_code == 1
    assert "does not have the name of a video" in result.stderr
    (tmp_path / "x.mp4").write_text("text")
    result = run("verify", tmp_path / "x.mp4")
    assert result.exit_code == 1
    assert "unreadable" in result.stdout
