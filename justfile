# Every recipe calls `.ci/run`: there is one list of steps.

default:
    .ci/run

step name:
    .ci/run {{name}}

demo:
    cargo run --release -- demo
