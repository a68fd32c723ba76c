<span role="img" aria-label="{{ $explanation }}" title="{{ $explanation }}" {{ $attributes->class('postviews-unknown') }}>–</span>
