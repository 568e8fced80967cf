/** The player of one recording: waveform, seeking, speed, skipped silence. */

import { button, create } from "../elements.js";
import { clock } from "../format.js";
import { keepPosition, positionOf, preferences, setPreference } from "../preferences.js";
import { text } from "../texts.js";
import { draw, levelsOf, readOutline, silencesOf } from "../waveform.js";

const SPEEDS = [0.8, 1, 1.25, 1.5, 1.75, 2];
const SEEK_S = 5;
const FALLBACK = "mp3";
// A larger recording is streamed, and has a waveform only if the server measures it.
const MAX_LOADED_BYTES = 8_000_000;

/** The origin of the audio store, or null if this server sends the audio. */
const mediaOrigin = () => document.querySelector("meta[name=media-origin]")?.content || null;

/** Emits `played` when the recording ends. */
export class MessagePlayer extends HTMLElement {
  /** `url` plays the recording without credentials; `lengthS` is shown until the audio is loaded. */
  show(mediaId, link, lengthS) {
    const url = `${link}?redirect=${mediaOrigin() !== null}`;
    this._link = link;
    this._mediaId = mediaId;
    this._lengthS = lengthS;
    this._levels = null;
    this._silences = [];
    this._audio = create("audio", { preload: "metadata" });
    this._canvas = create("canvas", { "aria-hidden": "true" });
    this._play = button("", () => this.toggle(), { class: "play" });
    this._seek = create("input", {
      type: "range", min: 0, max: lengthS, step: 0.1, value: 0, "aria-label": text("position"),
      oninput: () => this._moveTo(Number(this._seek.value)),
    });
    this._time = create("output", { class: "clock" });
    this._failure = create("p", { class: "failure", role: "alert", hidden: true }, text("cannot_play"));
    const speed = create("select", { "aria-label": text("speed"), onchange: () => this._setSpeed(Number(speed.value)) },
      SPEEDS.map((value) => create("option", { value, selected: value === preferences.speed }, `${value}×`)));
    const skip = create("input", {
      type: "checkbox", checked: preferences.skipSilence,
      onchange: () => setPreference("skipSilence", skip.checked),
    });
    this.replaceChildren(
      create("div", { class: "wave" }, this._canvas, this._seek),
      create("div", { class: "controls" }, this._play, this._time, speed,
        create("label", { class: "check" }, skip, text("skip_silence")),
        create("a", { class: "button", href: link, download: "" }, text("download"))),
      this._failure,
    );
    this._listen();
    this._setSpeed(preferences.speed);
    this._update();
    this._outline = this._showOutline(link);
    this._load(url);
  }

  toggle() {
    if (this._audio.paused) this._audio.play().catch(() => this._fail());
    else this._audio.pause();
  }

  playFrom(seconds) {
    this._moveTo(seconds);
    this._audio.play().catch(() => this._fail());
  }

  disconnectedCallback() {
    this._audio?.pause();
    this._resizes?.disconnect();
    if (this._source) URL.revokeObjectURL(this._source);
  }

  _listen() {
    const audio = this._audio;
    audio.addEventListener("loadedmetadata", () => {
      if (Number.isFinite(audio.duration)) this._lengthS = audio.duration;
      this._seek.max = this._lengthS;
      const position = positionOf(this._mediaId);
      if (position > 0 && position < this._lengthS - 1) audio.currentTime = position;
    });
    audio.addEventListener("timeupdate", () => this._advance());
    audio.addEventListener("play", () => this._update());
    audio.addEventListener("pause", () => {
      keepPosition(this._mediaId, audio.ended ? 0 : audio.currentTime);
      this._update();
    });
    audio.addEventListener("ended", () => {
      keepPosition(this._mediaId, 0);
      this.dispatchEvent(new CustomEvent("played", { bubbles: true }));
    });
    audio.addEventListener("error", () => this._convert());
    this._seek.addEventListener("keydown", (event) => this._onKey(event));
    this._resizes?.disconnect();
    this._resizes = new ResizeObserver(() => this._update());
    this._resizes.observe(this._canvas);
  }

  _onKey(event) {
    const steps = { ArrowLeft: -SEEK_S, ArrowRight: SEEK_S };
    if (event.key === " ") this.toggle();
    else if (event.key in steps) this._moveTo(this._audio.currentTime + steps[event.key]);
    else return;
    event.preventDefault();
  }

  _moveTo(seconds) {
    this._audio.currentTime = Math.min(Math.max(0, seconds), this._lengthS);
    this._update();
  }

  _setSpeed(speed) {
    setPreference("speed", speed);
    this._audio.playbackRate = speed;
    this._audio.defaultPlaybackRate = speed;
  }

  _advance() {
    const now = this._audio.currentTime;
    const silence = this._silences.find(({ from, to }) => from <= now && now < to);
    if (preferences.skipSilence && silence && !this._audio.paused) this._audio.currentTime = silence.to;
    this._update();
  }

  _update() {
    const { currentTime, paused } = this._audio;
    const label = text(paused ? "play" : "pause");
    this._play.textContent = paused ? "▶" : "❚❚";
    this._play.setAttribute("aria-label", label);
    this._play.title = label;
    this._seek.value = currentTime;
    this._seek.setAttribute("aria-valuetext", `${clock(currentTime)} / ${clock(this._lengthS)}`);
    this._time.textContent = `${clock(currentTime)} / ${clock(this._lengthS)}`;
    draw(this._canvas, this._levels, this._lengthS > 0 ? currentTime / this._lengthS : 0);
  }

  async _load(url) {
    let response;
    try {
      response = await fetch(url);
    } catch {
      // The audio store allows no scripts of this origin. An audio element needs no permission.
      this._audio.src = url;
      return;
    }
    try {
      if (!response.ok) return this._fail();
      if (!this._audio.canPlayType(response.headers.get("Content-Type") ?? "")) {
        await response.body.cancel();
        return this._convert();
      }
      if (Number(response.headers.get("Content-Length")) > MAX_LOADED_BYTES) {
        await response.body.cancel();
        this._audio.src = url;
        return;
      }
      const blob = await response.blob();
      this._source = URL.createObjectURL(blob);
      this._audio.src = this._source;
      if (await this._outline) return;
      this._levels = await levelsOf(await blob.arrayBuffer());
      this._silences = silencesOf(this._levels);
      this._update();
    } catch {
      // The browser cannot decode the format for the waveform. `error` shows if it cannot play it.
      if (!this._audio.src) this._fail();
    }
  }

  /** Shows the waveform of the server. Returns false if the server has none. */
  async _showOutline(link) {
    const outline = await readOutline(link, this._lengthS);
    if (outline === null) return false;
    if (link !== this._link) return true;
    this._levels = outline.levels;
    this._silences = silencesOf(outline.levels, outline.stepsPerS);
    this._update();
    return true;
  }

  /** Loads the recording in a format that the browser can play; the server converts it. */
  _convert() {
    if (this._isConverted) return this._fail();
    this._isConverted = true;
    return this._load(`${this._link}?redirect=false&format=${FALLBACK}`);
  }

  _fail() {
    this._failure.hidden = false;
    this._play.disabled = true;
  }
}

customElements.define("message-player", MessagePlayer);
