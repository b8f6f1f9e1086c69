// ---- the data, the current state, and common parts of all drawings
const byId = id => document.getElementById(id);
const scene = JSON.parse(byId("scene").textContent);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const numbers = text => text && new Float32Array(bytes(text));
// all people: the joints of the first are the scene's, and there are names and colours only if there are several
const people = (scene.people || [{}]).map((one, i) => {
  const from = i ? one : scene;
  return {name: one.name, color: one.color, xyz: numbers(from.xyz), xy: numbers(from.xy), own: numbers(from.own)};
});
const {xyz, xy} = people[0], several = people.length > 1;
const F = scene.frames.length, V = scene.views.length, J = scene.joints.length;
const COLORS = {left: "rgb(0,114,178)", right: "rgb(213,94,0)", middle: "rgb(0,158,115)"};

// `large` is the enlarged view, `chosen` the joint {v, who, j} whose epipolar lines are drawn, and `lit` the joint
// {who, j} under the pointer; -1 or null for none
const state = {frame: 0, playing: false, speed: 1, large: -1, chosen: null, lit: null};

const paint = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const words = name => name.replaceAll("_", " ");
const camerasNow = () => scene.takes[scene.take[state.frame] || 0] || [];
const is = (at, who, j) => at && at.who === who && at.j === j;
const shown = (who, j) => is(state.lit, who, j) || is(state.chosen, who, j);
const inkOf = (who, side) => who.color || COLORS[side];
const named = (who, j) => (who.name ? who.name + ": " : "") + words(scene.joints[j]);

// Returns the position of a joint in space, or null.
function joint({xyz}, f, j) {
  const o = 3 * (f * J + j);
  return isNaN(xyz[o]) ? null : [xyz[o], xyz[o + 1], xyz[o + 2]];
}

// Returns the pixel of a joint in a view, or null.
function pixel(points, f, v, j) {
  const o = 2 * ((f * V + v) * J + j);
  return isNaN(points[o]) ? null : [points[o], points[o + 1]];
}

// Clears a canvas and sets its resolution to that of the screen; the returned pen draws in CSS pixels.
function clear(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.lineCap = pen.lineJoin = "round";
  return pen;
}

function line(pen, p, q, color, width) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(p[0], p[1]);
  pen.lineTo(q[0], q[1]);
  pen.stroke();
}

function dot(pen, p, radius, fill, edge, width) {
  pen.fillStyle = fill;
  pen.strokeStyle = edge;
  pen.lineWidth = width;
  pen.beginPath();
  pen.arc(p[0], p[1], radius, 0, 7);
  pen.fill();
  pen.stroke();
}

// Writes text with a rim, so that it is legible on any background.
function write(pen, text, x, y, ink = paint("--ink"), rim = paint("--paper")) {
  pen.lineWidth = 4;
  pen.strokeStyle = rim;
  pen.strokeText(text, x, y);
  pen.fillStyle = ink;
  pen.fillText(text, x, y);
}

// Returns the first of the places [x, y] where a text of this width is clear of those written already, or else the first
// one, and marks it as written.
function placeOf(places, wide, written) {
  const free = ([x, y]) => written.every(o => x > o[0] + o[2] + 4 || x + wide + 4 < o[0] || Math.abs(y - o[1]) > 14);
  const [x, y] = places.find(free) || places[0];
  written.push([x, y, wide]);
  return [x, y];
}

// Returns the nearest of the points [x, y, ...] within `reach` px of a place, or null; points may be null.
function nearest(points, [x, y], reach) {
  let best = null;
  for (const p of points) {
    const far = p ? Math.hypot(p[0] - x, p[1] - y) : Infinity;
    if (far < reach) [best, reach] = [p, far];
  }
  return best;
}

// Returns the position of the pointer in a canvas, in CSS pixels.
function within(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

// Shows a text beside the pointer and highlights the joint in all drawings; without text, hides both.
function point(event, text = "", lit = null) {
  const tip = byId("tip");
  tip.hidden = !text;
  tip.textContent = text;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4) + "px";
  tip.style.top = Math.max(event.clientY - 30, 4) + "px";
  if (lit ? !is(state.lit, lit.who, lit.j) : state.lit) {
    state.lit = lit;
    draw();
  }
}
