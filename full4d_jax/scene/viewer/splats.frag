#version 300 es
// What one Gaussian adds to a pixel (gaussians/rendering/compositing.py, equation 1), times its alpha.
precision highp float;

in vec2 offset;
flat in float opacity;
flat in vec3 color;
out vec4 added;

void main() {
  float alpha = min(opacity * exp(-0.5 * dot(offset, offset)), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  added = vec4(color * alpha, alpha);
}
