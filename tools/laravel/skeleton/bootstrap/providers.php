<?php

return [
    App\Providers\AppServiceProvider::class,
    App\Providers\LoginServiceProvider::class,
];
