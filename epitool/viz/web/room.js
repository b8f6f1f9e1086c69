// ---- the pose and the cameras in space, with the third axis up
const room = byId("room"), roomCanvas = room.querySelector("canvas");
const sight = {turn: 0, tilt: 0.3, far: 2, touched: false};
const middle = () => scene.middles[scene.take[state.frame] || 0];
const TRAIL = 60; // frames of the root's path
const MARGIN = [64, 26]; // px around all cameras, for their names
const LEAST_TALL = 0.1; // least height of the person, times the room's; cameras may be out of sight then

// Returns a point's pixel in the room and its depth, or null behind the eye.
function project(p) {
  const at = middle(), [x, y, z] = [0, 1, 2].map(i => (p[i] - at[i]) / scene.size);
  const [ct, st, cp, sp] = [Math.cos(sight.turn), Math.sin(sight.turn), Math.cos(sight.tilt), Math.sin(sight.tilt)];
  const side = ct * x + st * y, away = ct * y - st * x;
  const depth = sight.far + cp * away - sp * z, high = cp * z + sp * away;
  if (depth < 0.05) return null;
  const [width, height] = [room.clientWidth, room.clientHeight], scale = 1.5 * Math.min(width, height) / depth;
  return [width / 2 + side * scale, height / 2 - high * scale, depth];
}

// Returns the turn that looks between cameras: from the widest gap, but at most 0.8 rad from the gap's first camera, so
// that the eye is not far behind all cameras.
function turnBetween(cameras) {
  const at = middle();
  const angles = cameras.map(({center}) => Math.atan2(center[1] - at[1], center[0] - at[0])).sort((a, b) => a - b);
  if (angles.length < 2) return 0.7;
  const gaps = angles.map((angle, i) => (i + 1 < angles.length ? angles[i + 1] : angles[0] + 2 * Math.PI) - angle);
  const widest = gaps.indexOf(Math.max(...gaps));
  return angles[widest] + Math.min(gaps[widest] / 2, 0.8) + Math.PI / 2;
}

// Looks at the person from a distance at which all cameras are in sight.
function lookHome() {
  const cameras = camerasNow(), half = scene.person.map(side => side / 2), at = middle();
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map(n => at.map((c, i) => c + (n >> i & 1 ? half[i] : -half[i])));
  const points = [...corners, ...cameras.flatMap(camera => [camera.center, ...camera.corners])];
  const [width, height] = [room.clientWidth, room.clientHeight];
  const inSight = p => p && p[0] > MARGIN[0] && p[0] < width - MARGIN[0] && p[1] > MARGIN[1] && p[1] < height - MARGIN[1];
  Object.assign(sight, {turn: turnBetween(cameras), tilt: 0.3, far: 0.3, touched: false});
  const tall = 1.5 * scene.person[2] / scene.size / LEAST_TALL;
  while (sight.far < (tall || 12) && !points.every(p => inSight(project(p)))) sight.far *= 1.04;
}

function lookAgain() {
  sight.touched = false;
  drawRoom();
}

function turnBy(right, up) {
  sight.turn -= right;
  sight.tilt = Math.max(-1.5, Math.min(1.5, sight.tilt + up));
  sight.touched = true;
  drawRoom();
}

function zoomBy(factor) {
  sight.far = Math.max(0.2, Math.min(12, sight.far * factor));
  sight.touched = true;
  drawRoom();
}

function drawRoom() {
  if (room.hidden) return;
  if (!sight.touched) lookHome();
  const pen = clear(roomCanvas, room.clientWidth, room.clientHeight);
  const segment = (a, b, color, width) => {
    const p = project(a), q = project(b);
    if (p && q) line(pen, p, q, color, width);
  };
  drawFloor(segment);
  const written = drawCameras(pen, segment);
  if (F) drawPeople(pen, segment, written);
}

function drawFloor(segment) {
  const step = scene.grid, low = scene.floor, reach = 8 * step, color = paint("--floor");
  const [mx, my] = middle().map(c => Math.round(c / step) * step);
  for (let d = -reach; d <= reach * 1.001; d += step) {
    segment([mx + d, my - reach, low], [mx + d, my + reach, low], color, 0.7);
    segment([mx - reach, my + d, low], [mx + reach, my + d, low], color, 0.7);
  }
}

// Draws the cameras and returns where their names are written.
function drawCameras(pen, segment) {
  const soft = paint("--soft"), written = [];
  for (const {center, corners} of camerasNow()) corners.forEach((corner, i) => {
    segment(center, corner, soft, 1.3);
    segment(corner, corners[(i + 1) % 4], soft, 1.3);
  });
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "left";
  for (const {name, center, corners} of camerasNow()) {
    const p = project(center), ahead = project([0, 1, 2].map(i => (corners[0][i] + corners[2][i]) / 2));
    if (!p) continue;
    const wide = pen.measureText(name).width, left = p[0] - wide - 8, right = p[0] + 8;
    const sides = ahead && ahead[0] > p[0] ? [left, right] : [right, left]; // the name is on the side away from the viewing direction
    const places = [-6, 10, -22, 26].flatMap(dy => sides.map(x => [x, p[1] + dy]));
    write(pen, name, ...placeOf(places, wide, written));
  }
  return written;
}

// Draws the people, the nearest one last, and then the names of several over their heads.
function drawPeople(pen, segment, written) {
  const seen = people.map(who => ({who, joints: jointsInRoom(who)}));
  const far = ({joints}) => joints.reduce((sum, p) => sum + p[2], 0) / (joints.length || 1);
  for (const {who, joints} of [...seen].sort((a, b) => far(b) - far(a))) drawPerson(pen, segment, who, joints);
  for (const {who, joints} of several ? seen : []) tagHead(pen, joints, who, roomCanvas.clientWidth, written);
}

function drawPerson(pen, segment, who, joints) {
  const {frame} = state, soft = paint("--soft"), paper = paint("--paper"), root = f => joint(who, f, scene.root);
  for (let f = Math.max(1, frame - TRAIL); f <= frame; f++)
    if (root(f - 1) && root(f) && scene.take[f] === scene.take[f - 1]) segment(root(f - 1), root(f), who.color || soft, 1.3);
  const bones = scene.bones.map(([a, b, side]) => [joint(who, frame, a), joint(who, frame, b), side]).filter(([p, q]) => p && q);
  if (several) for (const [p, q] of bones) segment(p, q, "#000", 5);
  for (const [p, q, side] of bones) segment(p, q, inkOf(who, side), 3.6);
  for (const [x, y, , j] of joints) dot(pen, [x, y], shown(who, j) ? 5 : 2.6, paper, inkOf(who, scene.sides[j]), 1.6);
}

// Returns the pixels of a person's joints, each with its depth, its index and the person.
function jointsInRoom(who) {
  const all = scene.joints.map((_, j) => {
    const at = joint(who, state.frame, j), p = at && project(at);
    return p && [...p, j, who];
  });
  return all.filter(p => p);
}

let held = null;
roomCanvas.addEventListener("pointerdown", e => {
  held = [e.clientX, e.clientY];
  roomCanvas.setPointerCapture(e.pointerId);
  point(e);
});
for (const end of ["pointerup", "pointercancel"]) roomCanvas.addEventListener(end, () => { held = null; });
roomCanvas.addEventListener("pointerleave", e => point(e));
roomCanvas.addEventListener("pointermove", e => {
  if (held) {
    turnBy((e.clientX - held[0]) / 150, (e.clientY - held[1]) / 150);
    held = [e.clientX, e.clientY];
  } else if (F) {
    const found = nearest(people.flatMap(jointsInRoom), within(roomCanvas, e), 12);
    if (!found) return point(e);
    const [, , , j, who] = found;
    point(e, named(who, j), {who, j});
  }
});
roomCanvas.addEventListener("wheel", e => {
  e.preventDefault();
  zoomBy(Math.exp(e.deltaY / 900));
}, {passive: false});
roomCanvas.addEventListener("dblclick", lookAgain);
