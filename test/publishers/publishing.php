<?php
// packages/laravel/src/Publishing, which needs no Laravel: a script that requires this file has its classes.

require 'PhpAmqpLib/autoload.php';

spl_autoload_register(function (string $class): void {
    $name = str_replace('\\', '/', substr($class, strlen('Postviews\\')));
    $file = __DIR__ . "/../../packages/laravel/src/$name.php";
    if (str_starts_with($class, 'Postviews\\Publishing\\') && is_file($file)) {
        require $file;
    }
});
