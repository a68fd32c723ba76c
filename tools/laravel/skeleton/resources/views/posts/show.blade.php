<!doctype html>
<title>{{ $post->title }}</title>
<h1>{{ $post->title }}</h1>
