<?php

declare(strict_types=1);

return [
    'views' => ':number Aufruf|:number Aufrufe',
    'unique_views' => ':number eindeutiger Aufruf|:number eindeutige Aufrufe',
    'as_of' => 'Stand: :time',
    'unknown' => 'Die Zahl der Aufrufe ist zurzeit nicht verfügbar',
    'sparkline' => [
        'title' => 'Aufrufe des letzten Tages|Aufrufe der letzten :days Tage',
        'text' => ':title: :views. Die meisten am :date: :most. Heute bisher: :today.',
        'none' => ':title: :views.',
        'unknown' => 'Die Aufrufe der letzten Tage sind zurzeit nicht verfügbar',
    ],
];
