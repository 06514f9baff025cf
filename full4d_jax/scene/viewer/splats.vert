#version 300 es
// One Gaussian at one instant as an ellipse on the screen: the equations of
// gaussians/rendering/projection.py and gaussians/motion.py, with the same constants. Four vertices make a box around the ellipse.
precision highp float;
precision highp int;
precision highp usampler2D;

const float BLUR = 0.3; // pixels^2
const float NEAR = 0.01;
const float ALPHA_MIN = 1.0 / 255.0;
const float SIGMAS_MAX = 3.33;
const float WIDTH_MAX = 1e5;
const float DEGREE_1 = 0.4886025; // sqrt(3 / 4 pi)
const vec4 OUT_OF_SIGHT = vec4(2.0, 2.0, 2.0, 1.0);

uniform usampler2D order; // Gaussians, the farthest first
uniform int drawn; // so many of them
uniform int batch; // so many in an instance, each with four vertices
uniform usampler2D records; // five texels of 8 bytes for a Gaussian
uniform usampler2D instants; // one texel of 16 bytes for a Gaussian at an instant
uniform usampler2D harmonics; // three texels of 4 bytes for a Gaussian
uniform float harmonic; // their step, 0 for a scene that has none
uniform int perRow; // Gaussians in a row of `records` and `harmonics`
uniform int samples; // instants of a scene that deforms, 0 for any other
uniform float time;
uniform mat3 rotation; // from world to camera
uniform vec3 eye;
uniform vec2 focal, principal, size; // pixels

out vec2 offset; // from the centre, standard deviations
flat out float opacity;
flat out vec3 color;

// The largest of four components is left out; the others have 10 bits.
vec4 unpackRotation(uint bits) {
  vec3 three = (vec3(bits & 1023u, (bits >> 10) & 1023u, (bits >> 20) & 1023u) - 511.5) / 511.5;
  three *= sqrt(0.5);
  float largest = sqrt(max(0.0, 1.0 - dot(three, three)));
  switch (bits >> 30) {
    case 0u: return vec4(largest, three);
    case 1u: return vec4(three.x, largest, three.yz);
    case 2u: return vec4(three.xy, largest, three.z);
    default: return vec4(three, largest);
  }
}

mat3 rotationMatrix(vec4 quaternion) {
  vec4 q = normalize(quaternion);
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3( // column by column
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

uvec2 texel(int which, int i) {
  return texelFetch(records, ivec2(5 * (which % perRow) + i, which / perRow), 0).xy;
}

uvec4 instant(int which, int i) {
  int at = which * samples + i, width = textureSize(instants, 0).x;
  return texelFetch(instants, ivec2(at % width, at / width), 0);
}

// What the colour seen along a unit direction differs by from its mean.
vec3 directional(int which, vec3 along) {
  ivec2 first = ivec2(3 * (which % perRow), which / perRow);
  float nine[9];
  for (int i = 0; i < 9; i++) {
    uint word = texelFetch(harmonics, first + ivec2(i / 4, 0), 0).x;
    nine[i] = harmonic * float(int(word << (24 - 8 * (i % 4))) >> 24);
  }
  vec3 y = vec3(nine[0], nine[1], nine[2]), z = vec3(nine[3], nine[4], nine[5]);
  return DEGREE_1 * (-along.y * y + along.z * z - along.x * vec3(nine[6], nine[7], nine[8]));
}

void main() {
  gl_Position = OUT_OF_SIGHT;
  int nth = gl_InstanceID * batch + gl_VertexID / 4, row = textureSize(order, 0).x;
  if (nth >= drawn) return;
  int which = int(texelFetch(order, ivec2(nth % row, nth / row), 0).x);
  uvec2 a = texel(which, 0), b = texel(which, 1), c = texel(which, 2);
  uvec2 d = texel(which, 3), e = texel(which, 4);
  vec3 center = uintBitsToFloat(uvec3(a, b.x));
  vec2 v = unpackHalf2x16(b.y), w = unpackHalf2x16(c.x);
  float since = time - w.y;
  vec2 last = unpackHalf2x16(d.x);
  vec3 logScales = vec3(unpackHalf2x16(c.y), last.x);
  float gate = float(e.x >> 24) / 255.0, bump = since * exp(-last.y);
  float visible = gate + (1.0 - gate) * exp(-0.5 * bump * bump);
  color = vec3(unpackHalf2x16(d.y), unpackHalf2x16(e.x).x);
  opacity = float((e.x >> 16) & 255u) / 255.0 * visible;
  vec4 quaternion = unpackRotation(e.y);
  center += vec3(v, w.x) * since;

  if (samples > 0) { // between two instants
    float place = time * float(samples - 1);
    int before = clamp(int(place), 0, samples - 2);
    float share = place - float(before);
    uvec4 m = instant(which, before), n = instant(which, before + 1);
    vec4 m0 = vec4(unpackHalf2x16(m.x), unpackHalf2x16(m.y));
    vec4 n0 = vec4(unpackHalf2x16(n.x), unpackHalf2x16(n.y));
    vec4 mixed = mix(m0, n0, share);
    center += mixed.xyz;
    logScales = vec3(mixed.w, mix(unpackHalf2x16(m.z), unpackHalf2x16(n.z), share));
    vec4 p = unpackRotation(m.w), q = unpackRotation(n.w);
    quaternion = mix(p, dot(p, q) < 0.0 ? -q : q, share);
  }

  if (harmonic > 0.0) color = max(color + directional(which, normalize(center - eye)), 0.0);
  vec3 inCamera = rotation * (center - eye);
  float z = inCamera.z;
  if (z <= NEAR) return;
  vec2 slopes = inCamera.xy / z, margin = 0.15 * size / focal;
  vec2 low = -principal / focal - margin, high = (size - principal) / focal + margin;
  vec2 clamped = clamp(slopes, low, high);
  vec3 scales = min(exp(logScales), WIDTH_MAX * z / max(focal.x, focal.y));
  mat3 axes = rotation * rotationMatrix(quaternion);
  vec3 rowX = vec3(axes[0].x, axes[1].x, axes[2].x), rowY = vec3(axes[0].y, axes[1].y, axes[2].y);
  vec3 rowZ = vec3(axes[0].z, axes[1].z, axes[2].z);
  rowX = (rowX - clamped.x * rowZ) * scales * (focal.x / z);
  rowY = (rowY - clamped.y * rowZ) * scales * (focal.y / z);

  float xx = dot(rowX, rowX), xy = dot(rowX, rowY), yy = dot(rowY, rowY);
  vec3 across = cross(rowX, rowY);
  float sharp = dot(across, across);
  float determinant = sharp + BLUR * (xx + yy) + BLUR * BLUR;
  opacity *= sqrt(max(sharp / determinant, 1e-12));
  if (opacity <= ALPHA_MIN) return;
  float sigmas = min(sqrt(2.0 * log(opacity / ALPHA_MIN)), SIGMAS_MAX);

  // The ellipse's axes: standard deviations along the eigenvectors of the screen covariance.
  float lean = 0.5 * (xx - yy), reach = length(vec2(lean, xy));
  float larger = 0.5 * (xx + yy) + BLUR + reach, smaller = determinant / larger;
  float angle = reach > 0.0 ? 0.5 * atan(xy, lean) : 0.0;
  vec2 along = vec2(cos(angle), sin(angle));
  offset = sigmas * vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) * 2.0 - sigmas;
  vec2 place = focal * slopes + principal;
  place += offset.x * sqrt(larger) * along + offset.y * sqrt(smaller) * vec2(-along.y, along.x);
  gl_Position = vec4((2.0 * place / size - 1.0) * vec2(1.0, -1.0), 0.0, 1.0);
}
