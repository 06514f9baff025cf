#version 300 es
// The finished picture over the background, or over its own blur where no background is known.
precision highp float;

uniform sampler2D picture;
uniform vec2 corner; // of the picture in what shows it, pixels
uniform int blurs; // coarser and coarser copies of the picture, each below the one before
uniform vec3 background;
out vec4 shown;

void main() {
  vec2 pixel = gl_FragCoord.xy - corner;
  vec4 drawn = texelFetch(picture, ivec2(pixel), 0);
  vec2 place = pixel / vec2(textureSize(picture, 0));
  for (int i = 1; i <= blurs && drawn.a < 0.999; i++) {
    drawn += (1.0 - drawn.a) * textureLod(picture, place, float(i));
  }
  if (blurs > 0) drawn /= max(drawn.a, 1e-3);
  shown = vec4(drawn.rgb + (1.0 - drawn.a) * background, 1.0);
}
