#!/bin/sh
# Makes the clips of this folder anew: needs rustc, and ffmpeg with libx264, libx265 and the
# DejaVu fonts. The result is committed, so nobody needs to run this to build or test.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rustc -O --edition 2024 -o "$work/paint" paint.rs
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf

# picture SCENE NAME WIDTH HEIGHT FPS FRAMES: paints into $work/in.mkv, without loss
picture() {
    size=$(($4 / 20))
    "$work/paint" "$1" "$3" "$4" "$6" |
        ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -s "$3x$4" -r "$5" -i - \
            -vf "drawtext=fontfile=$font:fontsize=$size:fontcolor=white:borderw=2:bordercolor=black@0.6:x=w/40:y=h/9:text='$2',drawtext=fontfile=$font:fontsize=$size:fontcolor=white:borderw=2:bordercolor=black@0.6:x=w-tw-w/40:y=h/9:text='%{eif\:n\:d\:5}',scale=out_color_matrix=bt709:out_range=tv,format=yuv420p" \
            -c:v ffv1 "$work/in.mkv"
}

# sound SECONDS RATE PITCH: a soft chime each second over a quiet room
sound() {
    ffmpeg -v error -y -f lavfi \
        -i "aevalsrc='0.35*sin(2*PI*$3*t)*exp(-9*mod(t,1))+0.12*sin(2*PI*$3*1.5*t)*exp(-12*mod(t+0.5,1))+0.01*(random(0)-0.5)':s=$2:d=$1" \
        -c:a aac -b:a 24k -ac 1 "$work/sound.m4a"
}

meta="-map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart -colorspace bt709 -color_primaries bt709 -color_trc bt709"
# One slice a picture, no scene cuts: key frames come at the stated distance and nowhere else.
x264="-c:v libx264 -preset veryslow -threads 1 -sc_threshold 0"

# h264 OUT GOP CRF [more x264 options]
h264() {
    out=$1 gop=$2 crf=$3
    shift 3
    ffmpeg -v error -y -i "$work/in.mkv" -i "$work/sound.m4a" -map 0:v -map 1:a -c:a copy \
        $x264 -g "$gop" -keyint_min "$gop" -crf "$crf" "$@" $meta "$out"
}

picture front-door "Front door" 640 360 25 200
sound 8 16000 880
h264 front-door.mp4 100 30 -profile:v baseline -bf 0
h264 b-frames.mp4 100 32 -profile:v main -bf 3
picture front-door "Front door" 480 270 25 200
h264 second.mp4 100 32 -profile:v main -bf 0
picture front-door "Front door" 320 180 10 600
sound 60 16000 880
h264 long-gop.mp4 600 36 -profile:v baseline -bf 0
