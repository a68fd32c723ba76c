<?php

declare(strict_types=1);

// Composer's autoloader if there is one; otherwise Debian's packages, which have none.
$composer = __DIR__ . '/../vendor/autoload.php';
if (is_file($composer)) {
    require $composer;
} else {
    require_once '/usr/share/php/Illuminate/autoload.php';
    require_once '/usr/share/php/PhpAmqpLib/autoload.php';
    $folders = ['Postviews\\Tests\\' => __DIR__, 'Postviews\\' => __DIR__ . '/../src'];
    spl_autoload_register(static function (string $class) use ($folders): void {
        foreach ($folders as $namespace => $folder) {
            $file = $folder . '/' . str_replace('\\', '/', substr($class, strlen($namespace))) . '.php';
            if (str_starts_with($class, $namespace) && is_file($file)) {
                require $file;

                return;
            }
        }
    });
}
