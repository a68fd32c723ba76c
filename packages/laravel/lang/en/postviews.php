<?php

declare(strict_types=1);

return [
    'views' => ':number view|:number views',
    'unique_views' => ':number unique view|:number unique views',
    'as_of' => 'as of :time',
    'unknown' => 'The number of views is not available at the moment',
    'sparkline' => [
        'title' => 'Views of the last day|Views of the last :days days',
        'text' => ':title: :views. Most on :date: :most. So far today: :today.',
        'none' => ':title: :views.',
        'unknown' => 'The views of the last days are not available at the moment',
    ],
];
