// ---- epipolar lines: the chosen joint's ray as seen by the other views
const LINE = "rgb(230,159,0)";
const hasLines = () => scene.takes.length > 0 && V > 1 && xy !== null;

// Chooses a joint of a view; the joint that is already chosen, or null, clears the choice.
function choose(joint) {
  const same = joint && is(state.chosen, joint.who, joint.j) && joint.v === state.chosen.v;
  state.chosen = same ? null : joint;
  draw();
  tell();
}

// Chooses the next joint that is visible in the enlarged view, or in the first view if none is enlarged.
function chooseNext(by) {
  if (!hasLines()) return;
  const {v, who: from, j: last} = state.chosen || {v: Math.max(state.large, 0), who: people[0], j: by > 0 ? -1 : J};
  const count = people.length * J, start = people.indexOf(from) * J + last;
  for (let n = 1; n <= count; n++) {
    const i = ((start + by * n) % count + count) % count, who = people[Math.floor(i / J)], j = i % J;
    if (pixel(who.xy, state.frame, v, j)) return choose({v, who, j});
  }
}

function tell() {
  const {chosen} = state;
  byId("said").textContent = chosen
    ? `${named(chosen.who, chosen.j)} in ${scene.views[chosen.v].name}, and its line in the other views`
    : hasLines() ? "click a joint to see its line in the other views" : "";
}

function bend([x, y], d) {
  const r = x * x + y * y;
  const radial = (1 + r * (d[0] + r * (d[1] + r * d[4]))) / (1 + r * (d[5] + r * (d[6] + r * d[7])));
  const [p1, p2] = [d[2], d[3]];
  return [x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x), y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y];
}

function ray({K, d}, [u, v]) {
  const y = (v - K[1][2]) / K[1][1], x = (u - K[0][2] - K[0][1] * y) / K[0][0];
  let at = [x, y];
  for (let i = 0; i < 20; i++) {
    const b = bend(at, d);
    at = [at[0] + x - b[0], at[1] + y - b[1]];
  }
  return [...at, 1];
}

const turned = (R, p) => R.map(row => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
const turnedBack = (R, p) => [0, 1, 2].map(i => R[0][i] * p[0] + R[1][i] * p[1] + R[2][i] * p[2]);

function drawEpipolarLine(panel, pen, scale) {
  const {chosen, frame} = state, cameras = camerasNow();
  if (!chosen || chosen.v === panel.v || !cameras.length) return;
  const from = cameras[chosen.v], to = cameras[panel.v], start = pixel(chosen.who.xy, frame, chosen.v, chosen.j);
  if (!start) return;
  const straight = ray(from, start);
  let before = null;
  for (let i = 0; i <= 240; i++) {
    const depth = scene.size * 0.01 * Math.exp(i / 30);
    const world = turnedBack(from.R, straight.map((c, k) => c * depth - from.t[k]));
    const [x, y, z] = turned(to.R, world).map((c, k) => c + to.t[k]);
    const slope = Math.max(Math.abs(x), Math.abs(y)) / z;
    if (!(z > 0) || slope > 2) { // the distortion polynomial is meaningless far outside the image
      before = null;
      continue;
    }
    const [a, b] = bend([x / z, y / z], to.d);
    const at = [(to.K[0][0] * a + to.K[0][1] * b + to.K[0][2]) * scale, (to.K[1][1] * b + to.K[1][2]) * scale];
    if (before) line(pen, before, at, LINE, 1.8);
    before = at;
  }
}
