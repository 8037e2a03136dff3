"""The demo camera's RTSP side, seen by ffmpeg's own RTSP client: frames, continuity, codecs, login, faults."""

import json
import signal
import socket
import subprocess
import time
from itertools import pairwise

import pytest
from demo_camera.faults import FaultError, parse_fault
from demo_camera.options import parse, port_for

STEP_90K = 6000


def packets(url: str, seconds: float, transport: str = "tcp", stream: str = "v:0", count: int = 0) -> list[dict]:
    """Packets that ffprobe gets within `seconds` (or `count` of them), or until the camera ends the session."""
    command = ["ffprobe", "-v", "error", "-rtsp_transport", transport, "-select_streams", stream]
    command += ["-read_intervals", f"%+#{count}" if count else f"%+{seconds}"]
    command += ["-show_entries", "packet=pts,dts,size,flags", "-of", "json", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 15, check=False)
    return json.loads(done.stdout or "{}").get("packets", [])


def pts(rows: list[dict]) -> list[int]:
    # ffmpeg leaves the first packet of an RTSP session without a timestamp.
    return [int(row["pts"]) for row in rows if "pts" in row]


@pytest.fixture(scope="module")
def camera(start_camera, tmp_path_factory):
    return start_camera("--audio", "aac", "--truth", str(tmp_path_factory.mktemp("truth") / "truth.json"))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_timestamps_run_on_across_the_loop(camera, transport):
    before = camera.stats()["streams"]["main"]["frames_sent"]
    times = pts(packets(camera.rtsp(), 6, transport))
    assert len(times) > 75, "a loop is 60 frames"
    # With two streams ffmpeg moves its clock by some microseconds when the first sender report comes.
    assert all(abs(b - a - STEP_90K) < 90 for a, b in pairwise(times))
    assert camera.stats()["streams"]["main"]["frames_sent"] - before >= len(times)


def test_audio_runs_beside_the_video(camera):
    times = pts(packets(camera.rtsp(), 3, stream="a:0"))
    steps = {b - a for a, b in pairwise(times)}
    assert len(times) > 40 and steps <= {1023, 1024, 1025}


def test_first_frame_is_a_key_frame_at_once(camera):
    started = time.monotonic()
    rows = packets(camera.rtsp("sub"), 0.2)
    assert "K" in rows[0]["flags"] and time.monotonic() - started < 20


def test_wrong_password_and_none_are_refused(camera):
    assert packets(camera.rtsp(password="wrong"), 1) == []
    assert packets(camera.cameras[0]["main"], 1) == []


def test_five_wrong_passwords_lock_rtsp_too(start_camera):
    camera = start_camera("--no-discovery")
    for _ in range(5):
        assert packets(camera.rtsp(password="wrong"), 1) == []
    assert packets(camera.rtsp(), 1) == []
    assert camera.stats()["failed_tries"]["rtsp"] == 6 and camera.stats()["lockouts"] == 1
    camera.fault("none")
    assert len(packets(camera.rtsp(), 1)) > 10
    camera.stop()


def test_truth_is_served_and_written(camera):
    truth = camera.get("/truth")
    with open(camera.info["truth"], encoding="utf-8") as file:
        assert json.load(file)["passages"] == truth["passages"]
    assert abs(truth["cameras"][0]["loop_start_unix_s"] - time.time()) < 300


@pytest.mark.parametrize("codec,name", [("h265", "hevc"), ("mjpeg", "mjpeg")])
def test_other_codecs(start_camera, codec, name):
    camera = start_camera("--codec", codec, "--audio", "pcmu", "--no-discovery")
    command = ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-show_entries", "stream=codec_name"]
    done = subprocess.run([*command, "-of", "csv=p=0", camera.rtsp()], capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == [name, "pcm_mulaw"]
    camera.stop()


def test_b_frames_keep_decoding_order(start_camera):
    camera = start_camera("--bframes", "2", "--no-discovery")
    times = pts(packets(camera.rtsp(), 2))
    assert times != sorted(times) and len(set(times)) == len(times)
    camera.stop()


def test_faults_at_run_time(start_camera):
    camera = start_camera("--no-discovery", "--count", "2")
    camera.fault("drop-after=1", 0)
    started = time.monotonic()
    assert 10 <= len(packets(camera.rtsp(), 60)) <= 70 and time.monotonic() - started < 50
    assert camera.stats()["connections_dropped"] == 1
    camera.fault("none", 0)
    with subprocess.Popen(["ffprobe", "-v", "quiet", "-rtsp_transport", "tcp", "-show_packets", camera.rtsp()],
                          stdout=subprocess.DEVNULL) as client:  # fmt: skip
        while not camera.stats()["streams"]["main"]["playing"]:
            time.sleep(0.1)
        camera.fault("drop-after=0.5", 0)
        client.wait(10)
    camera.fault("none", 0)
    camera.fault("wrong-password", 0)
    assert packets(camera.rtsp(), 1) == []
    camera.fault("none", 0)
    assert len(packets(camera.rtsp(), 1)) > 10
    camera.fault("down", 0)
    for port in ("rtsp_port", "onvif_port"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", camera.cameras[0][port]), 2)
    assert len(packets(camera.rtsp(index=1), 1)) > 10, "camera 1 has no fault"
    camera.fault("hang", 0)
    with socket.create_connection(("127.0.0.1", camera.cameras[0]["rtsp_port"]), 2) as silent:
        silent.settimeout(0.5)
        silent.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        with pytest.raises(TimeoutError):
            silent.recv(1)
    camera.fault("none")
    assert len(packets(camera.rtsp(), 1)) > 10
    camera.stop()


@pytest.mark.parametrize("mode,step_s", [("jump", 3 * 3600), ("back", -3600)])
def test_timestamp_faults(start_camera, mode, step_s):
    camera = start_camera("--no-discovery", "--fault", f"timestamps={mode}:1")
    times = pts(packets(camera.rtsp(), 5, count=50))
    steps = [b - a for a, b in pairwise(times)]
    jumps = [step for step in steps if step != STEP_90K]
    # RTP time has 32 bits; which way a client unwraps such a step is its own business.
    assert len(jumps) == 1 and abs((jumps[0] - step_s * 90000 + 2**31) % 2**32 - 2**31) < 90000
    camera.stop()


def test_stall_and_garbage(start_camera):
    camera = start_camera("--no-discovery", "--fault", "stall-after=1")
    command = ["ffprobe", "-v", "quiet", "-rtsp_transport", "tcp", "-timeout", "2000000", "-show_packets"]
    subprocess.run([*command, camera.rtsp()], capture_output=True, timeout=20, check=False)
    assert camera.stats()["streams"]["main"]["units_held_back"] >= 10
    camera.fault("none")
    camera.fault("garbage=0.5")
    packets(camera.rtsp(), 2)
    assert camera.stats()["streams"]["main"]["units_corrupted"] >= 5
    camera.fault("none")
    assert len(packets(camera.rtsp(), 1)) > 10
    camera.stop()


def test_ends_soon_after_a_signal(start_camera):
    camera = start_camera("--no-discovery", "--count", "4")
    client = subprocess.Popen(
        ["ffmpeg", "-v", "quiet", "-rtsp_transport", "tcp", "-i", camera.rtsp(), "-f", "null", "-"],
        stdin=subprocess.DEVNULL,
    )
    time.sleep(1)
    camera.process.send_signal(signal.SIGINT)
    assert camera.process.wait(30) == 0
    client.wait(30)


def test_options_are_checked(capsys):
    assert port_for([8554], 3) == 8557 and port_for([0], 3) == 0 and port_for([5, 6], 1) == 6
    for bad in (["--size", "100x100"], ["--count", "0"], ["--fault", "nonsense"], ["--fault", "drop-after=x"]):
        with pytest.raises(SystemExit):
            parse(bad)
        assert "error" in capsys.readouterr().err
    assert parse_fault("drop-after=3@2").camera == 2
    with pytest.raises(FaultError, match="jump"):
        parse_fault("timestamps=sideways")
