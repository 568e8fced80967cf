/** Peaks and silences of a recording, and their picture. */

const SILENCE_LEVEL = 0.02;
const MIN_SILENCE_S = 0.8;
const KEPT_SILENCE_S = 0.2;
const STEPS_PER_S = 20;
const BAR_PX = 3;
const GAP_PX = 1;
const MAX_POINTS = 2000;
const FULL_SCALE = 128;

/** Returns the levels that the server has measured, 0 to 1, and their number per second, or null. */
export async function readOutline(link, lengthS) {
  const points = Math.min(MAX_POINTS, Math.max(1, Math.ceil(lengthS * STEPS_PER_S)));
  try {
    const response = await fetch(`${link}/waveform?points=${points}`);
    if (!response.ok) return null;
    const { data: { data, duration_ms: durationMs } } = await response.json();
    const levels = Float32Array.from({ length: points }, (_, i) => Math.max(-data[2 * i], data[2 * i + 1]) / FULL_SCALE);
    return { levels, stepsPerS: (points * 1000) / Math.max(1, durationMs) };
  } catch {
    return null;
  }
}

/** Returns the highest level of each twentieth of a second, 0 to 1. Rejects for unknown formats. */
export async function levelsOf(bytes) {
  const context = new OfflineAudioContext(1, 1, 8000);
  const audio = await context.decodeAudioData(bytes);
  const samples = audio.getChannelData(0);
  const size = Math.max(1, Math.floor(audio.sampleRate / STEPS_PER_S));
  const levels = new Float32Array(Math.ceil(samples.length / size));
  for (let i = 0; i < samples.length; i++) {
    const step = Math.floor(i / size);
    levels[step] = Math.max(levels[step], Math.abs(samples[i]));
  }
  return levels;
}

/** Returns where the silences begin and where the sound continues, in seconds. */
export function silencesOf(levels, stepsPerS = STEPS_PER_S) {
  const silences = [];
  let begin = null;
  levels.forEach((level, step) => {
    if (level < SILENCE_LEVEL) begin ??= step;
    else {
      add(begin, step);
      begin = null;
    }
  });
  add(begin, levels.length);
  return silences;

  function add(from, to) {
    if (from !== null && to - from >= MIN_SILENCE_S * stepsPerS)
      silences.push({ from: from / stepsPerS + KEPT_SILENCE_S, to: to / stepsPerS - KEPT_SILENCE_S });
  }
}

/** Draws bars; those before `played` (0 to 1) in the colour of the outline. Without levels, a line. */
export function draw(canvas, levels, played) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const count = Math.max(1, Math.floor(width / (BAR_PX + GAP_PX)));
  const highest = levels === null ? 1 : Math.max(0.05, levels.reduce((a, b) => Math.max(a, b), 0));
  context.scale(scale, scale);
  for (let bar = 0; bar < count; bar++) {
    let level = 0;
    if (levels !== null) {
      const from = Math.floor((bar * levels.length) / count);
      const to = Math.max(from + 1, Math.floor(((bar + 1) * levels.length) / count));
      for (let step = from; step < to; step++) level = Math.max(level, levels[step] ?? 0);
    }
    const size = Math.max(2, (level / highest) * height);
    context.fillStyle = bar / count < played ? style.outlineColor : style.color;
    context.fillRect(bar * (BAR_PX + GAP_PX), (height - size) / 2, BAR_PX, size);
  }
}
