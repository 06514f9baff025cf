#version 300 es
// The finished picture over the background.
precision highp float;

uniform sampler2D picture;
uniform vec3 background;
out vec4 shown;

void main() {
  vec4 drawn = texelFetch(picture, ivec2(gl_FragCoord.xy), 0);
  shown = vec4(drawn.rgb + (1.0 - drawn.a) * background, 1.0);
}
