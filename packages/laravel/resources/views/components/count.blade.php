<data value="{{ $count }}" title="{{ $title }}" {{ $attributes->class('postviews-count') }} @if ($isStale) data-stale="true" @endif>{{ $text }}</data>
