#!/bin/sh
# make.sh [CLIP…]: makes the clips of this folder anew, all or those named. Needs rustc, and ffmpeg with libx264, libx265 and the
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
    style="fontfile=$font:fontsize=$size:fontcolor=white:borderw=2:bordercolor=black@0.6:y=h/9"
    "$work/paint" "$1" "$3" "$4" "$6" |
        ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -s "$3x$4" -r "$5" -i - -vf \
            "drawtext=$style:x=w/40:text='$2',drawtext=$style:x=w-tw-w/40:text='%{eif\:n\:d\:5}',scale=out_color_matrix=bt709:out_range=tv,format=yuv420p" \
            -c:v ffv1 "$work/in.mkv"
}

# sound SECONDS RATE PITCH: a soft chime each second over a quiet room
sound() {
    ffmpeg -v error -y -f lavfi \
        -i "aevalsrc='0.35*sin(2*PI*$3*t)*exp(-9*mod(t,1))+0.12*sin(2*PI*$3*1.5*t)*exp(-12*mod(t+0.5,1))+0.01*(random(0)-0.5)':s=$2:d=$1" \
        -c:a aac -b:a 24k -ac 1 "$work/sound.m4a"
}

meta="-map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart -colorspace bt709 -color_primaries bt709 -color_trc bt709"
# No scene cuts: key frames come at the stated distance and nowhere else.
x264="-c:v libx264 -preset veryslow -threads 1 -sc_threshold 0"

# h264 OUT GOP CRF [more options]: with the sound made last
h264() {
    out=$1 gop=$2 crf=$3
    shift 3
    ffmpeg -v error -y -i "$work/in.mkv" -i "$work/sound.m4a" -map 0:v -map 1:a -c:a copy \
        $x264 -g "$gop" -keyint_min "$gop" -crf "$crf" "$@" $meta "$out.mp4"
}

clip() {
    case $1 in
    front-door) # the usual camera: constrained baseline, 25 fps, a key frame every 4 s
        picture front-door "Front door" 640 360 25 200
        sound 8 16000 880
        h264 $1 100 30 -profile:v baseline -bf 0 ;;
    garden)
        picture garden "Garden" 640 360 20 160
        sound 8 48000 660
        h264 $1 40 34 -profile:v main -bf 0 ;;
    driveway) # no sound
        picture driveway "Driveway" 640 360 15 120
        sound 8 16000 880
        h264 $1 60 31 -profile:v main -bf 0 -an ;;
    living-room)
        picture living-room "Living room" 640 360 25 200
        sound 8 16000 523
        h264 $1 50 32 -profile:v high -bf 0 ;;
    street) # no sound
        picture street "Street" 640 360 15 120
        sound 8 16000 880
        h264 $1 60 31 -profile:v baseline -bf 0 -an ;;
    harbour)
        picture harbour "Harbour" 640 360 20 160
        sound 8 16000 392
        h264 $1 80 34 -profile:v main -bf 0 ;;
    sub) # the small stream beside the front door
        picture front-door "Front door" 320 180 10 80
        sound 8 16000 880
        h264 $1 40 32 -profile:v baseline -bf 0 ;;
    b-frames)
        picture front-door "Front door" 640 360 25 200
        sound 8 16000 880
        h264 $1 100 32 -profile:v main -bf 3 ;;
    second) # another resolution for a change on the way
        picture front-door "Front door" 480 270 25 200
        sound 8 16000 880
        h264 $1 100 32 -profile:v main -bf 0 ;;
    long-gop) # a minute with one key frame
        picture front-door "Front door" 320 180 5 300
        sound 60 16000 880
        h264 $1 300 36 -profile:v baseline -bf 0 -an ;;
    full-hd) # to be filled up to any bit rate by the camera
        picture front-door "Front door" 1920 1080 25 100
        sound 4 16000 880
        h264 $1 100 37 -profile:v main -bf 0 ;;
    h265)
        picture harbour "Harbour H.265" 640 360 25 200
        sound 8 16000 392
        ffmpeg -v error -y -i "$work/in.mkv" -i "$work/sound.m4a" -map 0:v -map 1:a -c:a copy \
            -c:v libx265 -preset slow -crf 34 -tag:v hvc1 -x265-params \
            keyint=100:min-keyint=100:scenecut=0:open-gop=0:bframes=0:info=0:log-level=none \
            $meta $1.mp4 ;;
    mjpeg) # standard Huffman tables and 4:2:0, as RFC 2435 wants them
        picture front-door "Front door" 384 216 5 20
        ffmpeg -v error -y -i "$work/in.mkv" -c:v mjpeg -huffman default -q:v 9 -pix_fmt yuvj420p \
            $meta $1.mov ;;
    *)
        echo "no clip is called $1" >&2
        exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- front-door garden driveway living-room street harbour sub b-frames second \
    long-gop full-hd h265 mjpeg
for name; do
    clip "$name"
done
ls -l ./*.mp4 ./*.mov
